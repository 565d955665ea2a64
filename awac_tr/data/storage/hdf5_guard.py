"""What is looked at before the HDF5 library is let near it: filters of arrays, and text of variable length.

Filters that the library does not bring (blosc, zstd, lz4 and others) are those of ``hdf5plugin``.

Text of variable length lies in heaps, and over a damaged one the library can run in circles where neither Ctrl-C nor a
thread ends it: an entry that says of itself that it is 0 bytes long is followed by itself. A few bytes can also stand
for gigabytes, as every element of an array may point at the same long text. So all heaps of the file are walked first.
"""

from __future__ import annotations

import mmap
import struct
from importlib import import_module
from pathlib import Path
from typing import Final

import h5py

from awac_tr.errors import DatasetError

__all__ = ["is_loose", "longest_text", "require_filters"]

_OF_HDF5PLUGIN: Final = {
    307: "bzip2",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32018: "fcidecomp",
    32024: "sz3",
    32026: "blosc2",
    32028: "sperr",
}
"""Registered numbers of filters (https://github.com/HDFGroup/hdf5_plugins) that ``hdf5plugin`` brings."""
_SAME_SIZE: Final = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_SCALEOFFSET)
"""Filters that come beside those that pack."""
_SIGNATURE: Final = b"GCOL\x01\x00\x00\x00"
_HEAD: Final = struct.Struct("<8sQ")
_ENTRY: Final = struct.Struct("<HHIQ")
_LENGTH_BYTES: Final = 8
_OVERLAP: Final = 4
"""How often a byte may lie in heaps: what is left of old ones can stand inside of others, and all are walked."""


def require_filters(path: Path, name: str, array: h5py.Dataset) -> None:
    """Make sure that an array's data can be unpacked; ``hdf5plugin`` is imported where that takes it.

    Raises:
        DatasetError: a filter is not here, with the command that installs it; or data are packed more than once, which
            saves nothing and multiplies what a few bytes can stand for.
    """
    made = array.id.get_create_plist()
    filters = [made.get_filter(number) for number in range(made.get_nfilters())]
    if sum(code not in _SAME_SIZE for code, *_ in filters) > 1:
        hint = "h5repack -f GZIP=4 makes a file that is packed once."
        raise DatasetError(f"dataset {path}: {name} is packed more than once: refused", hint)
    for code, _, _, words in filters:
        if _is_here(code):
            continue
        known = _OF_HDF5PLUGIN.get(code)
        kind = known or words.decode("utf-8", "replace") or "unknown"
        message = f"dataset {path} is whole, but {name} is packed with a filter that is not installed: {kind} ({code})"
        hint = "h5repack -f GZIP=4, where the filter is installed, makes a file without it."
        raise DatasetError(message, "pip install hdf5plugin" if known else hint)


def _is_here(code: int) -> bool:
    if h5py.h5z.filter_avail(code):
        return True
    try:
        import_module("hdf5plugin")  # registers its filters
    except (ImportError, OSError):
        return False
    return bool(h5py.h5z.filter_avail(code))


def is_loose(kind: h5py.h5t.TypeID) -> bool:
    """Are values of this type, or parts of them, kept in a heap."""
    text = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
    return text or any(kind.detect_class(one) for one in (h5py.h5t.VLEN, h5py.h5t.COMPOUND, h5py.h5t.REFERENCE))


def longest_text(path: Path, file: h5py.File) -> int:
    """Bytes of the longest text of variable length in a file, once over all its heaps.

    Raises:
        DatasetError: a heap is damaged, and the HDF5 library could hang over it.
    """
    if file.id.get_create_plist().get_sizes()[1] != _LENGTH_BYTES:
        raise _refusal(path, "is of a layout that is not read")
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        longest, walked, at = 0, 0, data.find(_SIGNATURE)
        while at >= 0:
            found, end = _longest_entry(path, data, at)
            longest, walked = max(longest, found), walked + end - at
            if walked > _OVERLAP * len(data):
                raise _refusal(path, "is damaged: its heaps overlap")
            at = data.find(_SIGNATURE, at + 1)
    return longest


def _longest_entry(path: Path, data: mmap.mmap, start: int) -> tuple[int, int]:
    """Walk over one heap as the library would; bytes of its longest entry, and where the heap ends."""
    size = _HEAD.unpack_from(data, start)[1] if start + _HEAD.size <= len(data) else 0
    end, at, longest = start + size, start + _HEAD.size, 0
    if not at <= end <= len(data):
        raise _refusal(path, "is damaged")
    while end - at >= _ENTRY.size:
        number, _, _, length = _ENTRY.unpack_from(data, at)
        # entry 0 is the free room, and counts its own head
        step = _ENTRY.size + -(-length // 8) * 8 if number else length
        if step < _ENTRY.size or at + step > end:
            raise _refusal(path, "is damaged")
        longest = max(longest, length if number else 0)
        at += step
    return longest, end


def _refusal(path: Path, what: str) -> DatasetError:
    hint = "Copy or download it again, or ask its author for one with text of fixed length."
    return DatasetError(f"dataset {path}: its text of variable length {what}: refused", hint)
