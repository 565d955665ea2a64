"""Writing HDF5: a new file, named when it is whole and calm when the disk is full; arrays that leave in chunks."""

from __future__ import annotations

import io
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from awac_tr.data.format.hashing import ArrayHash, canonical
from awac_tr.data.format.spec import HASH_ATTRIBUTE, chunk_rows
from awac_tr.data.storage.hdf5 import CACHE_BYTES
from awac_tr.errors import DatasetError
from awac_tr.utils.atomic import cannot_write, rename, writing
from awac_tr.utils.locks import file_lock

__all__ = ["Columns", "NewHdf5", "write_attributes"]

_LOG = logging.getLogger(__name__)

Rows = np.ndarray[Any, Any]


class _FileDriver(io.FileIO):
    """A binary file for ``h5py.File(sink, "w")`` that remembers the first failed write and ignores those after it.

    When a write fails under HDF5's own driver, the library can neither flush nor close the file and brings the process
    down at exit. So the failure stays here: HDF5 goes on undisturbed, and :class:`NewHdf5` asks for :attr:`error`.

    What a killed process left there is replaced: with the lock held, no live one is at it.
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


class NewHdf5:
    """A new HDF5 file, as a context manager: ``NAME.part``, and locked, until :meth:`publish` gives it its name.

    Where the block is left without that, nothing is left behind.

    Args:
        path: its name; the folder is made where it is missing.
        overwrite: replace an existing file.
        locked: the caller holds the lock already.

    Raises:
        DatasetError: the file exists, is being written by another process, or cannot be written there.
    """

    def __init__(self, path: Path, *, overwrite: bool, locked: bool = False) -> None:
        self.path, self._overwrite = path, overwrite
        self._part = path.with_name(path.name + ".part")
        self._lock = None if locked else file_lock(path, error=DatasetError)
        self._driver: _FileDriver | None = None
        self._file: h5py.File | None = None
        self._refuse_existing()

    def _refuse_existing(self) -> None:
        if self.path.is_dir():
            raise DatasetError(f"{self.path} is a folder", "Name a file, for example NAME.hdf5.")
        if self.path.exists() and not self._overwrite:
            raise DatasetError(f"{self.path} exists already", "Choose another name, or replace it with --force.")

    @property
    def file(self) -> h5py.File:
        """The file as h5py has it, while it is being written."""
        if self._file is None:
            hint = "Use the writer in a with block, and not after finish()."
            raise DatasetError(f"{self.path} is not being written", hint)
        return self._file

    def __enter__(self) -> Self:
        try:
            with writing(self.path, DatasetError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if self._lock is not None:
                    self._lock.__enter__()
                self._driver = _FileDriver(self._part)
            self._file = h5py.File(self._driver, "w", libver=("v110", "v110"), rdcc_nbytes=CACHE_BYTES)
        except BaseException:
            self.abort()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def check_disk(self) -> None:
        """Remove the file and raise a DatasetError where the disk did not take all that was written."""
        error = self._driver.error if self._driver is not None else None
        if error is not None:
            self.abort()
            raise cannot_write(self.path, error, DatasetError, done="; the unfinished file was removed") from error

    def publish(self) -> None:
        """Wait for the disk, then rename: no name without all its bytes."""
        self._close()
        driver = self._driver
        if driver is not None:
            driver.sync()
        self.check_disk()
        self._refuse_existing()
        rename(self._part, self.path)
        self._driver = None
        if driver is not None:
            driver.close()
        self._unlock()

    def abort(self) -> None:
        """Drop what was written; nothing happens after :meth:`publish`."""
        driver, self._driver = self._driver, None
        try:
            self._close()
        finally:
            if driver is not None:
                self._part.unlink(missing_ok=True)
                driver.close()
            self._unlock()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()


def write_attributes(target: h5py.File | h5py.Dataset, attributes: Mapping[str, Any]) -> None:
    """Set attributes of a file or an array; text is stored with a fixed length, beside its name.

    Text of variable length would lie in a heap, and the HDF5 library can run in circles over a damaged one.
    """
    for name, value in attributes.items():
        if isinstance(value, str):
            raw = value.encode()
            kind = h5py.string_dtype("utf-8", max(1, len(raw)))
            target.attrs.create(name, np.array(raw, dtype=kind), dtype=kind)
        else:
            target.attrs[name] = value


class Column:
    """One array of rows of this shape: hashed and written chunk by chunk, past HDF5's cache."""

    def __init__(self, file: h5py.File, name: str, dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> None:
        kind = dtype.newbyteorder("<")
        self.hash = ArrayHash(kind.str, row_shape)
        self._chunk = chunk_rows(kind.itemsize * math.prod(row_shape))
        self._array = file.create_dataset(
            name,
            shape=(0, *row_shape),
            maxshape=(None, *row_shape),
            chunks=(self._chunk, *row_shape),
            dtype=kind,
            track_times=False,
        )
        self._stage = np.zeros((self._chunk, *row_shape), dtype=kind)
        self._staged = self._written = 0

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self._written + self._staged

    def append(self, rows: Rows) -> None:
        """Add rows [n, ...]; at most one chunk of them waits in memory for the next ones."""
        start = min(self._chunk - self._staged, len(rows)) if self._staged or len(rows) < self._chunk else 0
        if start:
            self._keep(rows[:start])
            if self._staged == self._chunk:
                self._staged = 0
                self._write(self._stage)
        whole = start + (len(rows) - start) // self._chunk * self._chunk
        if whole > start:
            self._write(canonical(rows[start:whole]))
        if len(rows) > whole:
            self._keep(rows[whole:])

    def _keep(self, rows: Rows) -> None:
        self._stage[self._staged : self._staged + len(rows)] = rows
        self._staged += len(rows)

    def _write(self, rows: Rows) -> None:
        """Whole chunks, straight into the file."""
        self.hash.update(rows)
        self._array.resize(self._written + len(rows), axis=0)
        for start in range(0, len(rows), self._chunk):
            offset = (self._written + start, *(0 for _ in rows.shape[1:]))
            self._array.id.write_direct_chunk(offset, rows[start : start + self._chunk])
        self._written += len(rows)

    def finish(self) -> None:
        """Write what waits, and the hash of it all."""
        if self._staged:
            rows = self._stage[: self._staged]
            self.hash.update(rows)
            self._array.resize(self.rows, axis=0)
            self._array[self._written :] = rows
        write_attributes(self._array, {HASH_ATTRIBUTE: self.hash.hexdigest()})


class Columns:
    """The arrays of one file that is open for writing, by name, all declared by the first rows that come."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._columns: dict[str, Column] = {}

    def append(self, arrays: Mapping[str, Rows]) -> None:
        """Add rows to each of the arrays; those that are new to the file are made."""
        for name, rows in arrays.items():
            if name not in self._columns:
                self._columns[name] = Column(self._file, name, rows.dtype, rows.shape[1:])
            self._columns[name].append(rows)

    def rows(self) -> dict[str, int]:
        """Array name -> its rows so far."""
        return {name: column.rows for name, column in self._columns.items()}

    def lines(self) -> dict[str, str]:
        """Array name -> its line of the content hash, once :meth:`finish` was called."""
        return {name: column.hash.line(name) for name, column in self._columns.items()}

    def finish(self) -> None:
        """Write what waits, and the hashes."""
        for column in self._columns.values():
            column.finish()
