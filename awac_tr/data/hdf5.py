"""Opening HDF5 files of strangers: every failure one clear error, and nothing read that lies outside the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py

from awac_tr.errors import DatasetError

__all__ = ["array_of", "clear_errors", "open_hdf5", "read_attributes"]

_MADE_AGAIN: Final = "Copy, download or collect it again."
_MAX_CHUNK_BYTES: Final = 1 << 28
_MAX_EXPANSION: Final = 1100
"""Deflate cannot shrink more than 1032-fold; a file that claims more has no data behind its shapes."""


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises over a damaged file into a DatasetError that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"dataset {path} cannot be read: {reason}", _MADE_AGAIN) from error


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading, refusing what is missing, cut off, no HDF5, or points outside itself.

    Args:
        path: the file.

    Raises:
        DatasetError: for each of those.
    """
    if not path.exists():
        raise DatasetError(f"there is no dataset {path}", _what_is_there(path))
    if not path.is_file():
        raise DatasetError(f"{path} is no file", "A dataset is one HDF5 file.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DatasetError(_why_not_opened(path, error), _MADE_AGAIN) from error
    try:
        with clear_errors(path):
            _refuse_links(path, file)
    except BaseException:
        file.close()
        raise
    return file


def _what_is_there(path: Path) -> str:
    from difflib import get_close_matches

    names = sorted(other.name for other in path.parent.glob("*.hdf5")) if path.parent.is_dir() else []
    close = get_close_matches(path.name, names, n=1)
    return f"Did you mean {path.parent / close[0]}?" if close else "awac-tr data list shows the datasets here."


def _why_not_opened(path: Path, error: OSError) -> str:
    reason = str(error)
    if "truncated" in reason:
        return f"dataset {path} is truncated: it ends before its last byte"
    if "signature" in reason:
        return f"{path} is no HDF5 file"
    if isinstance(error, BlockingIOError):
        return f"dataset {path} is being written by another process"
    return f"dataset {path} cannot be opened: {' '.join(reason.split())[:200]}"


def _refuse_links(path: Path, file: h5py.File) -> None:
    """Soft and external links could lead to any file the reader may read; a dataset of rows needs neither."""

    def look(name: str, link: Any) -> str | None:
        return None if isinstance(link, h5py.HardLink) else name

    found = file.visititems_links(look)
    if found is not None:
        raise DatasetError(
            f"dataset {path} holds a soft or external link ({found}), which could lead out of the file: refused",
            "Ask its author for a file that holds its data itself (h5repack, or copy the arrays into a new file).",
        )


def array_of(path: Path, file: h5py.File, name: str) -> h5py.Dataset | None:
    """One array of the file, None where there is none of that name.

    Raises:
        DatasetError: its data lie in other files, or its size is not backed by data.
    """
    item = file.get(name)
    if not isinstance(item, h5py.Dataset):
        return None
    if item.is_virtual or item.external:
        raise DatasetError(f"dataset {path}: the data of {name} lie in other files: refused", "Ask its author for a single file.")
    stored, claimed = item.id.get_storage_size(), item.size * item.dtype.itemsize if item.size is not None else 0
    chunk = item.dtype.itemsize
    for size in item.chunks or ():
        chunk *= size
    if claimed > _MAX_EXPANSION * stored + (1 << 20) or chunk > _MAX_CHUNK_BYTES:
        raise DatasetError(
            f"dataset {path}: {name} claims {claimed:,} bytes in chunks of {chunk:,} but holds {stored:,}: refused", _MADE_AGAIN
        )
    return item


def read_attributes(path: Path, file: h5py.File) -> dict[str, Any]:
    """Root attributes as text, numbers and arrays; those of other kinds are left out."""
    found: dict[str, Any] = {}
    with clear_errors(path):
        for name in file.attrs:
            value = file.attrs[name]
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            if isinstance(value, h5py.Empty):
                continue
            found[name] = value.item() if getattr(value, "ndim", None) == 0 else value
    return found
