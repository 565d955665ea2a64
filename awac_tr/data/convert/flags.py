"""Flags as strangers store them: bools, numbers, text; converted where it is certain what they say, else refused."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from awac_tr.errors import DatasetError

__all__ = ["as_flags"]

Array = np.ndarray[Any, Any]

_SET: Final = ("true", "t", "yes", "1", "1.0")
_UNSET: Final = ("false", "f", "no", "0", "0.0")
_HINT: Final = "Flags are bools, 0 and 1, or true and false as text: store them so. Nobody can know what else means."


def as_flags(where: str, name: str, array: Array, rows: int) -> Array:
    """One flag a row, [rows] bool.

    The array is [rows], [rows, 1] or [1, rows], of bools, of the numbers 0 and 1, or of text that says so.

    Raises:
        DatasetError: it has another shape, or holds anything else, as NaN, -1 or a discount.

    >>> as_flags("a.hdf5", "dones", np.array([b"False", b"True"]), 2)
    array([False,  True])
    """
    if array.size != rows or array.shape not in {(rows,), (rows, 1), (1, rows)}:
        raise DatasetError(f"{where}: {name} has shape {array.shape}, expected {rows} rows of one flag")
    values = array.reshape(-1)
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind in "SUO":
        return _of_text(where, name, values)
    if values.dtype.kind not in "fiu":
        raise DatasetError(f"{where}: {name} has type {values.dtype}, expected flags", _HINT)
    odd = (values != 0) & (values != 1)
    if odd.any():
        raise _odd(where, name, int(odd.sum()), int(np.argmax(odd)), values[odd][0])
    return np.asarray(values != 0)


def _of_text(where: str, name: str, values: Array) -> Array:
    kinds, places = np.unique(values.astype(str) if values.dtype.kind == "U" else values, return_inverse=True)
    words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in kinds]
    words = [word.strip() for word in words]
    odd = np.array([word.lower() not in _SET + _UNSET for word in words])[places]
    if odd.any():
        row = int(np.argmax(odd))
        raise _odd(where, name, int(odd.sum()), row, repr(words[places[row]][:20]))
    return np.array([word.lower() in _SET for word in words])[places]


def _odd(where: str, name: str, count: int, row: int, value: Any) -> DatasetError:
    what = "row is no flag" if count == 1 else "rows are no flags"
    return DatasetError(f"{where}: {count:,} {what} in {name}: row {row} holds {value}", _HINT)
