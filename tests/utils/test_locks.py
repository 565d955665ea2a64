"""One at a time, whoever comes second is told who the first is, and the dead hold nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from awac_tr.errors import AwacError, DatasetError
from awac_tr.utils.locks import file_lock, folder_lock, holder_of

HOLD = """
import sys, time
from pathlib import Path
from awac_tr.utils.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds the lock of ``a.hdf5`` until its stdin is closed."""
    command = [sys.executable, "-c", HOLD, "a.hdf5"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()


def forked(work: Callable[[], None]) -> int:
    """A copy of this process that does something and ends; its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def ended_well(*pids: int) -> bool:
    return [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)


def test_the_second_is_refused_with_the_name_of_the_first(other: subprocess.Popen[str]) -> None:
    with pytest.raises(DatasetError) as caught, file_lock(Path("a.hdf5"), error=DatasetError):
        pass
    first, hint = str(caught.value).split("\n")
    assert first.startswith(
        f"a.hdf5 is being written by another process (process {other.pid} on {socket.gethostname()}, "
    )
    assert time.strftime("since %Y-%m-%d ") in first
    assert "-c a.hdf5" in first
    assert hint == "Wait for it, or choose another name."
    holder = holder_of(file_lock(Path("a.hdf5")))
    assert holder is not None
    assert holder.pid == other.pid


def test_whoever_waits_gets_it_next(other: subprocess.Popen[str], caplog: pytest.LogCaptureFixture) -> None:
    def end_the_other() -> None:
        time.sleep(0.8)
        os.kill(other.pid, signal.SIGKILL)

    pid = forked(end_the_other)
    with caplog.at_level("INFO"), file_lock(Path("a.hdf5"), wait=True) as lock:
        holder = holder_of(lock)
        assert holder is not None
        assert holder.pid == os.getpid()
    assert ended_well(pid)
    assert not Path("a.hdf5.lock").exists()
    assert f"a.hdf5 is being written by another process (process {other.pid} on" in caplog.text


def test_what_a_dead_process_left_hinders_nobody(other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    assert Path("a.hdf5.lock").exists()
    assert holder_of(file_lock(Path("a.hdf5"))) is None
    with file_lock(Path("a.hdf5")) as lock:
        assert holder_of(lock) is not None
    assert list(Path().iterdir()) == []


def test_a_forked_copy_of_the_holder_gives_nothing_back() -> None:
    with file_lock(Path("a.hdf5")) as lock:
        assert ended_well(forked(lock.release))
        with pytest.raises(AwacError, match="being written by another process"), file_lock(Path("a.hdf5")):
            pass


def test_processes_that_are_started_do_not_inherit_it() -> None:
    with file_lock(Path("a.hdf5")):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    try:
        with file_lock(Path("a.hdf5")):
            pass
    finally:
        child.kill()
        child.wait()


def test_two_at_once_never_both_hold_it() -> None:
    """Taking, removing and taking again from many processes: the count of those inside never passes one."""
    inside = Path("inside")

    def take_turns() -> None:
        for _ in range(20):
            with file_lock(Path("a.hdf5"), wait=True):
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails where somebody is inside
                inside.unlink()

    assert ended_well(*[forked(take_turns) for _ in range(3)])


def test_a_folder_that_cannot_be_written_is_a_mistake_of_the_user() -> None:
    Path("file").write_text("")
    with (
        pytest.raises(DatasetError, match=r"cannot be written: Not a directory"),
        folder_lock(Path("file"), error=DatasetError),
    ):
        pass


def test_where_there_are_no_locks_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with file_lock(Path("a.hdf5")):
        pass
    assert "a.hdf5 cannot be locked (No locks available): let no other process write it." in caplog.text


def test_a_note_that_says_nothing_is_no_trouble(other: subprocess.Popen[str]) -> None:
    for note in (b"", b"[]", b'{"pid": "x"}', b"\xff\xfe", b'{"pid": 1}', b"[" * 100_000):
        Path("a.hdf5.lock").write_bytes(note)
        with pytest.raises(AwacError, match=r"another process \(it does not say which\)"), file_lock(Path("a.hdf5")):
            pass


def test_a_note_cannot_write_to_the_terminal(other: subprocess.Popen[str]) -> None:
    Path("a.hdf5.lock").write_text(
        '{"pid": 7, "host": "h\\u001b[31m", "since": "\\n", "command": "' + "x" * 9000 + '"}', encoding="utf-8"
    )
    with pytest.raises(AwacError) as caught, file_lock(Path("a.hdf5")):
        pass
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500
