"""Opening HDF5 files of strangers: every failure one clear error, and nothing read that lies outside the file."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from awac_tr.data.storage.hdf5_guard import is_loose, longest_text, require_filters
from awac_tr.data.storage.partial import refuse_unfinished
from awac_tr.data.storage.paths import SUFFIXES, dataset_folder
from awac_tr.errors import DatasetError
from awac_tr.utils.budget import OBJECT_PRICE, PACKED, Budget
from awac_tr.utils.file_kinds import kind_of, wrong_kind
from awac_tr.utils.suggest import closest

__all__ = [
    "CACHE_BYTES",
    "array_of",
    "attribute_names",
    "budget_of",
    "clear_errors",
    "open_hdf5",
    "read_array",
    "read_attribute",
    "read_attributes",
    "read_text",
]

_MADE_AGAIN: Final = "Copy, download or collect it again."
_NO_LOCKS: Final = "Where nobody writes it, HDF5_USE_FILE_LOCKING=FALSE in the environment reads it all the same."
CACHE_BYTES: Final = 1 << 20
"""Of HDF5's cache of chunks, for each array; its default of 8 MiB makes reading in order slower, and adds up."""

_MAX_CHUNK_BYTES: Final = 1 << 28
_SMALL: Final = 1 << 20
_ARRAYS: Final = ("action_low", "action_high")
"""Root attributes that are arrays."""
_MAX_EXPANSION: Final = 1100
"""Deflate cannot shrink more than 1032-fold; a file that claims more has no data behind its shapes."""
_MAX_ATTRIBUTES: Final = 1000
"""Of one object; the library looks through all of them for each."""
_SMALL_ATTRIBUTE: Final = 1 << 16
_MAX_DEPTH: Final = 32
"""Of groups within groups; the library calls itself for each."""


@dataclass
class _Opened:
    """What is known of an open file: what reading it may still cost, and its longest text of variable length."""

    budget: Budget
    longest: int | None = None


_OPENED: Final[dict[int, _Opened]] = {}
"""By the library's number of the open file, which h5py tells of each of its objects."""


def budget_of(file: h5py.File) -> Budget:
    """What reading a file that :func:`open_hdf5` opened may still cost."""
    return _OPENED[file.id.id].budget


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises over a damaged file into a DatasetError that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, SystemError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"dataset {path} cannot be read: {reason}", _MADE_AGAIN) from error


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises:
        DatasetError: it is missing, unfinished, cut off, no HDF5, or points outside itself.
    """
    refuse_unfinished(path)
    if not path.exists():
        raise DatasetError(f"there is no dataset {path}", _what_is_there(path))
    if not path.is_file():
        raise wrong_kind(DatasetError, path, "dataset", "A dataset is one HDF5 file.")
    try:
        file = h5py.File(path, "r", rdcc_nbytes=CACHE_BYTES)
    except OSError as error:
        raise _not_opened(path, error) from error
    try:
        with clear_errors(path):
            _refuse_links(path, file)
        _OPENED[file.id.id] = _Opened(Budget(path, PACKED, DatasetError))
        weakref.finalize(file, _OPENED.pop, file.id.id, None)
    except BaseException:
        file.close()
        raise
    return file


def _what_is_there(path: Path) -> str:
    """What else may be meant; a name alone was taken for one in the folder of datasets."""
    here = Path(path.stem)
    if path.parent == dataset_folder() and here.exists():
        kind = kind_of(here)
        return f"{here} here looks like {kind.words}. {kind.advice}".strip()
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = closest(path.name, (name for name in names if name.endswith(SUFFIXES)))
    return f"Did you mean {path.parent / close}?" if close else "awac-tr data list shows the datasets there are."


def _not_opened(path: Path, error: OSError) -> DatasetError:
    """What the library's words mean, and what to do."""
    reason = " ".join(str(error).split())[:200]
    if "signature" in reason:
        return wrong_kind(DatasetError, path, "HDF5 file", _MADE_AGAIN)
    said = {
        "truncated": ("is truncated: it ends before its last byte", _MADE_AGAIN),
        "errno = 11": ("is held open by another process, which may be writing it", f"Close it there. {_NO_LOCKS}"),
        "unable to lock": (f"lies on a disk that cannot lock files: {reason}", _NO_LOCKS),
        "h5clear": ("is being written, or was left open by a process that ended", f"If it ended: h5clear -s {path}"),
        "ermission denied": ("may not be read: permission denied", "chmod u+r, or ask its owner."),
        "": (f"cannot be opened: {reason}", _MADE_AGAIN),
    }
    what, hint = next(found for words, found in said.items() if words in reason)
    return DatasetError(f"dataset {path} {what}", hint)


def _refuse_links(path: Path, file: h5py.File) -> None:
    """Soft and external links could lead to any file the reader may read; a dataset of rows needs neither.

    Nor does it need two names for one object, by which a few bytes could stand for any number of arrays.
    """
    places: dict[int, str] = {}

    def look(raw: bytes, link: Any) -> tuple[str, str] | None:
        name = raw.decode("utf-8", "replace")
        if name.count("/") >= _MAX_DEPTH:
            return name, f"groups more than {_MAX_DEPTH} deep"
        if "\ufffd" in name:
            return name, f"a name that is not text ({name})"
        if link.type != h5py.h5l.TYPE_HARD:
            return name, f"a soft or external link ({name}), which could lead out of the file"
        first = places.setdefault(link.u, name)
        return None if first == name else (name, f"one object under two names, {first} and {name}")

    found = file.id.links.visit(look, info=True)
    if found is not None:
        raise DatasetError(
            f"dataset {path} holds {found[1]}: refused",
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
        message = f"dataset {path}: the data of {name} lie in other files: refused"
        raise DatasetError(message, "Ask its author for a single file.")
    _refuse_hollow(path, name, item)
    require_filters(path, name, item)
    budget_of(file).charge(OBJECT_PRICE + _claimed(item), f"its arrays up to {name}")
    return item


def read_array(path: Path, file: h5py.File, name: str) -> np.ndarray[Any, Any] | None:
    """A whole array of the file, None where there is none of that name.

    Raises:
        DatasetError: as :func:`array_of`; its text is damaged.
    """
    found = array_of(path, file, name)
    if found is None:
        return None
    _charge_text(path, file, found.id.get_type(), found.size or 0)
    return np.asarray(found[...])


def _charge_text(path: Path, file: h5py.File, kind: h5py.h5t.TypeID, count: int) -> None:
    """Of values in a heap, of which any number can point at one long text."""
    if is_loose(kind):
        opened = _OPENED[file.id.id]
        if opened.longest is None:
            opened.longest = longest_text(path, file)
        opened.budget.charge(count * opened.longest, "its text of variable length")


def _claimed(array: h5py.Dataset) -> int:
    """Bytes of an array; one number where it has none, along every axis, since its rows are counted all the same."""
    shape: tuple[int, ...] = array.shape or ()
    return math.prod(max(1, size) for size in shape) * max(1, int(array.dtype.itemsize))


def _refuse_hollow(path: Path, name: str, array: h5py.Dataset) -> None:
    """A few bytes can claim any size, and reading would ask for that much memory."""
    stored, claimed = array.id.get_storage_size(), _claimed(array)
    chunk = math.prod(array.chunks or ()) * array.dtype.itemsize
    if claimed > _MAX_EXPANSION * stored + _SMALL or chunk > _MAX_CHUNK_BYTES:
        sizes = f"{claimed:,} bytes in chunks of {chunk:,}, stored in {stored:,}"
        raise DatasetError(f"dataset {path}: {name} claims {sizes}: refused", _MADE_AGAIN)


def read_attributes(path: Path, file: h5py.File) -> dict[str, Any]:
    """Root attributes as text and numbers, and the bounds as arrays; none where there is no ``format`` among them.

    Other arrays and attributes without a value are left out.
    """
    with clear_errors(path):
        names = attribute_names(path, file) if "format" in file.attrs else []
        found = {name: _plain(read_attribute(path, file, name)) for name in names}
    return {
        name: value
        for name, value in found.items()
        if name in _ARRAYS or not isinstance(value, h5py.Empty | np.ndarray)
    }


def attribute_names(path: Path, item: h5py.Group | h5py.Dataset) -> list[str]:
    """Names of the attributes of an object; DatasetError where there are more than 1000."""
    count = h5py.h5a.get_num_attrs(item.id)
    if count > _MAX_ATTRIBUTES:
        message = f"dataset {path}: {item.name} has {count:,} attributes; up to {_MAX_ATTRIBUTES:,} are read: refused"
        raise DatasetError(message, "Ask its author for one with fewer.")
    return list(item.attrs)


def read_attribute(path: Path, item: h5py.Group | h5py.Dataset, name: str, default: Any = None) -> Any:
    """An attribute as h5py gives it, after a look at the heap it may lie in; ``default`` where there is none.

    Raises:
        DatasetError: its text is damaged.
    """
    if name not in item.attrs:
        return default
    attribute = item.attrs.get_id(name)
    kind, count = attribute.get_type(), math.prod(attribute.shape or ())
    if is_loose(kind):
        _charge_text(path, item.file, kind, count)
    elif count * kind.get_size() > _SMALL_ATTRIBUTE:
        budget_of(item.file).charge(count * kind.get_size(), "its attributes")
    return item.attrs[name]


def read_text(path: Path, array: h5py.Dataset, name: str) -> str:
    """A text attribute of an array; empty where there is none."""
    with clear_errors(path):
        return str(_plain(read_attribute(path, array, name, "")))


def _plain(value: Any) -> Any:
    """Text as str and single numbers as Python's, arrays as they are."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if getattr(value, "ndim", None) == 0 else value
