"""The file HDF5 writes into: durable, and calm when the disk is full."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import Any

__all__ = ["FileDriver"]

_LOG = logging.getLogger(__name__)


class FileDriver(io.RawIOBase):
    """A binary file for ``h5py.File(sink, "w")`` that remembers the first failed write and ignores those after it.

    When a write fails under HDF5's own driver, the library can neither flush nor close the file and brings the process
    down at exit. So the failure stays here: HDF5 goes on undisturbed, the writer asks :attr:`error` after each episode,
    closes, and removes the file.

    Args:
        path: file to write; what a killed process left there is replaced. Its writer holds the lock of what it is to
            become (:mod:`awac_tr.utils.locks`), so no live one is at it.

    Raises:
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.error: OSError | None = None
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
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
        """Close the descriptor."""
        if not self.closed:
            os.close(self._fd)
        super().close()
