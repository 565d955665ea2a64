"""The file HDF5 writes into: exclusive, durable, and calm when the disk is full."""

from __future__ import annotations

import fcntl
import io
import logging
import os
from pathlib import Path
from typing import Any

from awac_tr.errors import DatasetError

__all__ = ["Sink"]

_LOG = logging.getLogger(__name__)


class Sink(io.RawIOBase):
    """A binary file for ``h5py.File(sink, "w")`` that remembers the first failed write and ignores those after it.

    When a write fails under HDF5's own driver, the library can neither flush nor close the file and brings the process
    down at exit. So the failure stays here: HDF5 goes on undisturbed, the writer asks :attr:`error` after each episode,
    closes, and removes the file.

    Args:
        path: file to write; what a killed process left there is replaced, what a live one is writing is refused.

    Raises:
        DatasetError: another process is writing this file.
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.error: OSError | None = None
        self._fd = _claim(path)
        if os.fstat(self._fd).st_size:
            _LOG.info("replacing %s, left by a process that was killed", path)
            os.ftruncate(self._fd, 0)

    def readable(self) -> bool:
        """HDF5 reads back what it wrote."""
        return True

    def writable(self) -> bool:
        """Of course."""
        return True

    def seekable(self) -> bool:
        """HDF5 writes anywhere."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    def readinto(self, buffer: Any) -> int:
        """As of any file."""
        return os.readv(self._fd, [buffer])

    def write(self, data: Any) -> int:
        """Write all of it; after a failure, nothing."""
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while len(view) and self.error is None:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the length; after a failure, nothing."""
        length = self.tell() if size is None else size
        try:
            if self.error is None:
                os.ftruncate(self._fd, length)
        except OSError as error:
            self.error = error
        return length

    def sync(self) -> None:
        """Wait until the bytes are on the disk."""
        try:
            if self.error is None:
                os.fsync(self._fd)
        except OSError as error:
            self.error = error

    def close(self) -> None:
        """Close the descriptor, and with it the lock."""
        if not self.closed:
            os.close(self._fd)
        super().close()


def _claim(path: Path) -> int:
    """Open and lock the file; the descriptor, or an error where another process holds it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, its writer may have finished and renamed it: this would be that dataset now.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(fd)):
                return fd
        except BlockingIOError as error:
            os.close(fd)
            message = f"{path} is being written by another process"
            raise DatasetError(message, "Wait for it, or choose another name.") from error
        os.close(fd)
