"""Files that are whole or not there, and what is said where they cannot be written."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest
import torch

from awac_tr.errors import AwacError
from awac_tr.utils.atomic import cannot_write, make_folder, remedy_for, replacing, write_text


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_remedies_differ_as_the_reasons_do() -> None:
    numbers = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.EIO, errno.EMFILE]
    remedies = [remedy_for(refused(number)) for number in numbers]
    assert len(set(remedies)) == len(numbers)
    assert [remedy for remedy in remedies if "room" in remedy] == remedies[:2]
    assert remedy_for(refused(errno.ENOENT)) == ""
    assert str(cannot_write("a.pt", refused(errno.ENOSPC), AwacError)).startswith(
        "a.pt cannot be written: No space left"
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ((1024, 4096), "ulimit -n 4096"),
        ((1024, resource.RLIM_INFINITY), "ulimit -n 4096"),
        ((20, 20), "20 files open here.*whoever runs this machine"),
    ],
)
def test_the_limit_of_open_files_is_named(limits: tuple[int, int], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    with pytest.raises(AwacError, match=said):
        raise cannot_write("a.pt", refused(errno.EMFILE), AwacError)


def test_a_write_that_fails_leaves_the_older_file_and_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.pt"
    write_text(path, "older")

    class Full:
        """Takes the beginning."""

        taken = 0

        def write(self, data: bytes) -> int:
            self.taken += len(data)
            if self.taken > 100:
                raise refused(errno.ENOSPC)
            return len(data)

        def flush(self) -> None:
            pass

    with pytest.raises(OSError, match="No space left") as caught, replacing(path):
        torch.save({"a": torch.zeros(1000)}, Full())
    assert caught.value.errno == errno.ENOSPC
    assert [one.read_text() for one in path.parent.iterdir()] == ["older"]


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "file" / "run" / "checkpoints")
