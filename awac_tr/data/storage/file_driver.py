"""The file HDF5 writes into: durable, and calm when the disk is full."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import Any

__all__ = ["FileDriver"]

_LOG = logging.getLogger(__name__)


class FileDriver(io.FileIO):
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
        self.path = path
        self.error: OSError | None = None
        if path.is_file() and path.stat().st_size:
            _LOG.info("replacing %s, left by a process that was killed", path)
        super().__init__(path, "w+", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o644))

    def write(self, data: Any) -> int:
        """Write all of it; after a failure, nothing."""
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while len(view) and self.error is None:
                view = view[os.write(self.fileno(), view) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the length; after a failure, nothing."""
        length = self.tell() if size is None else size
        try:
            if self.error is None:
                os.ftruncate(self.fileno(), length)
        except OSError as error:
            self.error = error
        return length

    def sync(self) -> None:
        """Wait until the bytes are on the disk."""
        try:
            if self.error is None:
                os.fsync(self.fileno())
        except OSError as error:
            self.error = error
