"""Files that get their names only when they are whole and on the disk, and what to do where they cannot be written."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Final, TypeVar

from awac_tr.errors import AwacError

__all__ = [
    "cannot_write",
    "make_folder",
    "reason_of",
    "remedy_for",
    "rename",
    "replacing",
    "sync_folder",
    "write_text",
    "writing",
]

Refusal = TypeVar("Refusal", bound=AwacError)

_REMEDIES: Final = {
    errno.ENOSPC: "Make room on the disk, or write to another.",
    errno.EDQUOT: "Your quota of this disk is used up: make room, or write to another.",
    errno.EFBIG: "Files may not be so large here: see ulimit -f, or write to another disk.",
    errno.EROFS: "This disk is mounted read-only: write to another.",
    errno.EACCES: "Its permissions forbid it: change them, or choose another place.",
    errno.EPERM: "Its permissions forbid it: change them, or choose another place.",
    errno.ENOTDIR: "A file stands where a folder is needed: choose another place.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EIO: "The disk or its connection fails: see the system's log (dmesg), and write to another.",
}


def remedy_for(error: OSError) -> str:
    """What to do about an error of the system's, a sentence; empty where it says all itself."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        more = 4 * soft if hard == resource.RLIM_INFINITY else min(hard, 4 * soft)
        cure = (
            f"raise that, for example by ulimit -n {more}" if more > soft else "whoever runs this machine can raise it"
        )
        return f"A process may have {soft} files open here (ulimit -n): {cure}."
    return _REMEDIES.get(error.errno or 0, "")


def reason_of(error: OSError) -> str:
    """The system's words, without the number."""
    return error.strerror or str(error) or type(error).__name__


def cannot_write(path: Path | str, error: OSError, kind: type[Refusal], *, done: str = "") -> Refusal:
    """The error of this kind to raise where a file cannot be written; ``done`` is appended to the message."""
    return kind(f"{path} cannot be written: {reason_of(error)}{done}", remedy_for(error))


@contextmanager
def writing(path: Path | str, kind: type[AwacError], *, done: str = "") -> Iterator[None]:
    """Turn an OSError of the block, in which a file is written, into the error of :func:`cannot_write`."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, kind, done=done) from error


@contextmanager
def replacing(path: Path, kind: type[AwacError] | None = None, *, done: str = "") -> Iterator[IO[bytes]]:
    """A file that takes its name when the block ends well, on the disk by then, and vanishes when it does not.

    Raises:
        OSError: it cannot be written; an older file of that name stays. Where ``kind`` is given, an error of that kind
            instead, see :func:`cannot_write`.
    """
    with nullcontext() if kind is None else writing(path, kind, done=done), _replacing(path) as file:
        yield file


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    part = path.with_name(path.name + ".part")
    try:
        make_folder(path.parent)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename(part, path)
    except RuntimeError as error:
        cause = error.__context__
        if not isinstance(cause, OSError):
            raise
        raise OSError(cause.errno, reason_of(cause)) from error  # torch's writer hides it behind an error of its own
    finally:
        with suppress(OSError):
            part.unlink()


def write_text(path: Path, text: str, kind: type[AwacError] | None = None, *, done: str = "") -> None:
    """Write a text file, see :func:`replacing`."""
    with replacing(path, kind, done=done) as file:
        file.write(text.encode())


def rename(old: Path, new: Path) -> None:
    """Give a file another name, and wait until the disk knows it."""
    old.replace(new)
    sync_folder(new.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it where they are missing; the disk knows their names then."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names in a folder; where a file system cannot do that, go on."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
