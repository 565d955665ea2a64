"""The arrays of a file that is being written: rows arrive in pieces of any size and leave in whole chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from awac_tr.data.format.hashing import ArrayHash, canonical
from awac_tr.data.format.spec import HASH_ATTRIBUTE, chunk_rows
from awac_tr.data.storage.hdf5 import write_attributes

__all__ = ["Column", "Columns"]

Rows = np.ndarray[Any, Any]


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
