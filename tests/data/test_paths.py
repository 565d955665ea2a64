"""How a name becomes a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from awac_tr.data.storage.paths import dataset_folder, dataset_path


@pytest.mark.parametrize("path", ["a.hdf5", "a.h5", "somewhere/a", "./a.hdf5", "/data/a.hdf5"])
def test_paths_are_taken_as_they_are(path: str) -> None:
    assert dataset_path(path) == Path(path)


def test_names_lie_in_the_folder_of_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dataset_path("door-bc") == tmp_path / "datasets" / "door-bc.hdf5"
    assert dataset_path("v1.5") == tmp_path / "datasets" / "v1.5.hdf5"
    monkeypatch.delenv("AWAC_TR_DATA")
    assert dataset_folder() == Path("datasets")
