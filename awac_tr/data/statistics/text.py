"""Numbers in words, as tables of datasets show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["STATES", "entries_text", "range_text", "readable_bytes"]

STATES: Final = {
    "missing": "not in this folder",
    "changed": "a file of this name is here, with another hash",
    "seen": "see above",
}
"""State of an ancestor (see :mod:`awac_tr.data.ops.lineage`) -> what is said of it; of others nothing need be said."""


def readable_bytes(count: float) -> str:
    """For example 12.3 MB.

    >>> readable_bytes(12_345_678), readable_bytes(999)
    ('12.3 MB', '999 B')
    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004  (the next unit begins)
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def range_text(values: Sequence[float]) -> str:
    """One number where all are the same, else the smallest to the largest.

    >>> range_text([1.0, 1.0]), range_text([0.5, -2.0])
    ('1', '-2 to 0.5')
    """
    if not values:
        return "nothing"
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"


def entries_text(entries: Sequence[int]) -> str:
    """Numbers, from the smallest up, with runs of neighbours folded.

    >>> entries_text([0, 1, 2, 7])
    '0-2, 7'
    """
    runs: list[list[int]] = []
    for entry in entries:
        if runs and entry == runs[-1][1] + 1:
            runs[-1][1] = entry
        else:
            runs.append([entry, entry])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
