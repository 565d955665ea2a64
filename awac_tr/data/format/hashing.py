"""The content hash: what a dataset is, whatever its chunks, its compression and its attributes.

Every array has the SHA-256 of its rows in order, C-contiguous and little-endian. The content hash is the SHA-256 of one
line an array, sorted by name: ``name type shape hash``. So it can be computed while episodes are appended, and the
arrays can be checked one by one when only some are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from awac_tr.data.format.spec import FORMAT

__all__ = ["ArrayHash", "canonical", "content_hash"]


def canonical(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same values, C-contiguous and little-endian, copied only where they are not."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


class ArrayHash:
    """Hash of one array that arrives in pieces of whole rows.

    Args:
        dtype: type on disk, as numpy writes it (``<f4``).
        row_shape: shape without the first axis.

    Example:
        >>> rows = np.arange(6, dtype=np.float32).reshape(3, 2)
        >>> whole, parts = ArrayHash("<f4", (2,)), ArrayHash("<f4", (2,))
        >>> whole.update(rows); parts.update(rows[:1]); parts.update(rows[1:])
        >>> whole.hexdigest() == parts.hexdigest(), parts.rows
        (True, 3)
    """

    def __init__(self, dtype: str, row_shape: tuple[int, ...]) -> None:
        self.dtype = dtype
        self.row_shape = row_shape
        self.rows = 0
        self._sha256 = hashlib.sha256()

    def update(self, rows: np.ndarray[Any, Any]) -> None:
        """Add rows [n, *row_shape], of the array's type."""
        self._sha256.update(canonical(rows).data)
        self.rows += len(rows)

    def hexdigest(self) -> str:
        """SHA-256 of all rows so far, in hexadecimal."""
        return self._sha256.hexdigest()

    def line(self, name: str) -> str:
        """This array's line of the content hash."""
        return describe(name, self.dtype, (self.rows, *self.row_shape), self.hexdigest())


def describe(name: str, dtype: str, shape: tuple[int, ...], digest: str) -> str:
    """One line of the content hash.

    Example:
        >>> describe("actions", "<f4", (10, 2), "ab")
        'actions <f4 10x2 ab'
    """
    return f"{name} {dtype} {'x'.join(str(size) for size in shape)} {digest}"


def content_hash(lines: Mapping[str, str]) -> str:
    """The content hash of a dataset, ``sha256:...``, from array name -> its line (see :func:`describe`)."""
    text = "\n".join([FORMAT, *(lines[name] for name in sorted(lines))])
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
