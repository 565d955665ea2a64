"""One process at a time: locks that vanish with their holder, and a note of who that is.

A lock is an advisory ``flock`` on a small file beside what it guards. The kernel drops it when its process ends in
whatever way, so a file that a killed process left behind hinders nobody. The file says who holds it, for the message to
whoever comes second.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shlex
import socket
import sys
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from awac_tr.errors import AwacError
from awac_tr.utils.atomic import writing

__all__ = ["Holder", "Lock", "file_lock", "folder_lock", "holder_of"]

_log = logging.getLogger(__name__)

_PATIENCE: Final = 0.5
"""Seconds for which a taken lock is tried again: whoever looks who holds it, holds it for a moment."""

_MOST_BYTES: Final = 1 << 14
_MOST_COMMAND: Final = 300
_NAMELESS: Final = "it does not say which"
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock: its number, its machine, since when (local time), and how it was started."""

    pid: int
    host: str
    since: str
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}: {self.command}"

    @classmethod
    def here(cls) -> Holder:
        """This process, now."""
        name, *arguments = sys.argv or ["python"]
        name = "awac-tr" if name.endswith("__main__.py") else Path(name).name
        command = shlex.join([name, *arguments])[:_MOST_COMMAND]
        return cls(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"), command)


class Lock(AbstractContextManager["Lock"]):
    """A lock file, entered to hold it.

    Where the file system has no locks (some network mounts), that is said and nothing is guarded. On NFS, Linux passes
    ``flock`` to the server, so that it holds between machines; mounts with ``local_lock`` guard only within one.

    Args:
        path: the lock file; made where it is missing, removed when the lock is given back.
        subject: what it guards, for messages.
        advice: what whoever comes second may do.
        error: what is raised where another holds it.
        wait: wait for the other instead, which is said.

    Raises:
        AwacError: (of the kind ``error``) another process, or another part of this one, holds it; or the lock file
            cannot be made, and so neither can what it guards.
    """

    def __init__(
        self, path: Path, subject: str, *, advice: str = "", error: type[AwacError] = AwacError, wait: bool = False
    ) -> None:
        self.path = path
        self._subject, self._advice, self._error, self._wait = subject, advice, error, wait
        self._fd: int | None = None
        self._owner = 0

    def __enter__(self) -> Self:
        with writing(self._subject, self._error):
            self._open()
        return self

    def _open(self) -> None:
        while self._fd is None:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                self._take(fd)
                # Between opening and locking, its holder may have removed it: then this is nobody's lock.
                if _is_file(self.path, fd):
                    self._fd = fd
            finally:
                if self._fd is None:
                    os.close(fd)
        self._owner = os.getpid()
        with suppress(OSError):  # on a full disk the lock holds as well, nameless
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, json.dumps(asdict(Holder.here())).encode() + b"\n", 0)

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give it back; a second call does nothing."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        if os.getpid() == self._owner:  # a forked copy of the holder is not the holder
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        os.close(fd)

    def _take(self, fd: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not _locked(fd, self._subject):
            if time.monotonic() < deadline:
                time.sleep(_PATIENCE / 20)
                continue
            said = f"{self._subject} is being written by another process ({_read_note(self.path) or _NAMELESS})"
            if not self._wait:
                raise self._error(said, self._advice)
            _log.info("%s; waiting for it.", said)
            fcntl.flock(fd, fcntl.LOCK_EX)
            return


def file_lock(path: Path, *, error: type[AwacError] = AwacError, wait: bool = False) -> Lock:
    """The lock of a file that is to be made: ``NAME.lock`` beside it; see :class:`Lock`."""
    advice = "Wait for it, or choose another name."
    return Lock(path.with_name(path.name + ".lock"), str(path), advice=advice, error=error, wait=wait)


def folder_lock(path: Path, *, error: type[AwacError] = AwacError) -> Lock:
    """The lock of a folder: the file ``lock`` in it; see :class:`Lock`."""
    return Lock(path / "lock", str(path), advice="Wait for it, or stop it.", error=error)


def holder_of(lock: Lock) -> Holder | None:
    """Who holds a lock now; None: nobody, or nobody knows who."""
    try:
        fd = os.open(lock.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_note(lock.path)
    except OSError:
        return None
    finally:
        os.close(fd)
    return None


def _locked(fd: int, subject: str) -> bool:
    """Whether the lock could be had; True as well where there are none to be had."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _log.warning("%s cannot be locked (%s): let no other process write it.", subject, error.strerror or error)
    return True


def _is_file(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(fd))
    except FileNotFoundError:
        return False


def _read_note(path: Path) -> Holder | None:
    """What the lock file says; None where it says nothing that can be understood."""
    try:
        with path.open("rb") as file:
            note = json.loads(file.read(_MOST_BYTES))
        return Holder(int(note["pid"]), *(_printable(note[name]) for name in ("host", "since", "command")))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _printable(value: object) -> str:
    """The file may be anybody's: no control characters on the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))[:_MOST_COMMAND]
