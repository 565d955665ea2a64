"""Text of variable length in HDF5 files of others, looked at before the HDF5 library is let near it.

Such text lies in heaps, and over a damaged one the library can run in circles where neither Ctrl-C nor a thread ends
it: an entry that says of itself that it is 0 bytes long is followed by itself. A few bytes can also stand for
gigabytes, as every element of an array may point at the same long text. So all heaps of the file are walked here first.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final

import h5py

from awac_tr.errors import DatasetError

__all__ = ["is_loose", "longest_text"]

_SIGNATURE: Final = b"GCOL\x01\x00\x00\x00"
_HEAD: Final = struct.Struct("<8sQ")
_ENTRY: Final = struct.Struct("<HHIQ")
_LENGTH_BYTES: Final = 8
_OVERLAP: Final = 4
"""How often a byte may lie in heaps: what is left of old ones can stand inside of others, and all are walked."""


def is_loose(kind: h5py.h5t.TypeID) -> bool:
    """Are values of this type, or parts of them, kept in a heap."""
    text = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
    return text or any(kind.detect_class(one) for one in (h5py.h5t.VLEN, h5py.h5t.COMPOUND, h5py.h5t.REFERENCE))


def longest_text(path: Path, file: h5py.File) -> int:
    """Bytes of the longest text of variable length in a file, once over all its heaps.

    Args:
        path: the file.
        file: the same, open.

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
