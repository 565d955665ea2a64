"""Files of the formats: JSON of strangers, HDF5 that appears when it is whole, numbered names in their order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from awac_tr.data.storage.hdf5_write import NewHdf5
from awac_tr.errors import DatasetError

__all__ = ["in_order", "load_json", "whole_hdf5"]


def load_json(path: Path, limit: int = 1 << 26) -> dict[str, Any]:
    """A JSON object from a stranger's file of at most ``limit`` bytes.

    Raises:
        DatasetError: it is missing, too large, or no object.
    """
    try:
        if path.stat().st_size > limit:
            raise DatasetError(f"{path} has more than {limit:,} bytes: refused")
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    if not isinstance(read, dict):
        raise DatasetError(f"{path} holds no JSON object")
    return read


def in_order(names: Iterable[str]) -> list[str]:
    """Names that end in a number, by that number, and not ``demo_10`` before ``demo_2``.

    >>> in_order(["demo_10", "demo_2", "other"])
    ['other', 'demo_2', 'demo_10']
    """

    def key(name: str) -> tuple[str, int]:
        number = re.search(r"\d+$", name)
        return (name, -1) if number is None else (name[: number.start()] + "\x00", int(number[0][:18]))

    return sorted(names, key=lambda name: (key(name)[1] >= 0, *key(name)))


@contextmanager
def whole_hdf5(path: Path, *, overwrite: bool) -> Iterator[h5py.File]:
    """A new HDF5 file that gets its name when the block ends, and is gone where the block fails.

    Raises:
        DatasetError: it exists, is being written by another process, cannot be written, or the disk is full.
    """
    with NewHdf5(path, overwrite=overwrite) as new:
        yield new.file
        new.publish()
