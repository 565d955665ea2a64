"""Filters of HDF5 arrays that the HDF5 library does not bring: blosc, zstd, lz4 and others of ``hdf5plugin``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

import h5py

from awac_tr.errors import DatasetError

__all__ = ["require_filters"]

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


def require_filters(path: Path, name: str, array: h5py.Dataset) -> None:
    """Make sure that an array's data can be unpacked; ``hdf5plugin`` is imported where that takes it.

    Args:
        path: the file.
        name: of the array.
        array: the same, open.

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
