"""Statistics of rows that arrive in blocks: moments and ranges per column, and the distinct values of a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_DISTINCT", "Bounded", "RunningStatistics", "Values"]

MAX_DISTINCT: Final = 32
"""Distinct values of a column that are counted one by one; beyond them it has a range only."""

Array = np.ndarray[Any, Any]


class RunningStatistics:
    """Mean, standard deviation, smallest and largest value of each column; NaN and infinities are counted apart.

    Blocks are joined by the formula of Chan, Golub and LeVeque (1979), in float64, so a mean far from zero costs no
    digits however many blocks there are.

    Args:
        columns: numbers a row, d.

    Attributes:
        count: [d] finite entries so far.
        mean: [d] of them.
        low: [d] the smallest; inf where there is none.
        high: [d] the largest; -inf where there is none.
        not_finite: [d] entries that are NaN or infinite.

    Example:
        >>> moments = RunningStatistics(1)
        >>> moments.feed(np.array([[1.0], [2.0]])); moments.feed(np.array([[6.0], [np.nan]]))
        >>> float(moments.mean[0]), round(float(moments.std[0]), 3), int(moments.not_finite[0])
        (3.0, 2.16, 1)
    """

    def __init__(self, columns: int) -> None:
        self.count: NDArray[np.int64] = np.zeros(columns, np.int64)
        self.not_finite: NDArray[np.int64] = np.zeros(columns, np.int64)
        self.mean: NDArray[np.float64] = np.zeros(columns)
        self.low: NDArray[np.float64] = np.full(columns, np.inf)
        self.high: NDArray[np.float64] = np.full(columns, -np.inf)
        self._squares: NDArray[np.float64] = np.zeros(columns)

    def feed(self, rows: Array) -> None:
        """Add rows [n, d] of numbers or bools."""
        if not rows.size:
            return
        finite: Array = np.isfinite(rows)
        if finite.all():
            self._join(np.full(len(self.count), len(rows)), rows.astype(np.float64), rows.min(0), rows.max(0))
            return
        self.not_finite += (~finite).sum(0)
        masked = np.where(finite, rows, np.nan).astype(np.float64)
        low, high = np.where(finite, rows, np.inf).min(0), np.where(finite, rows, -np.inf).max(0)
        self._join(finite.sum(0), masked, low, high)

    def _join(self, count: Array, rows: Array, low: Array, high: Array) -> None:
        """Join a block whose missing entries are NaN."""
        mean = np.nansum(rows, 0) / np.maximum(count, 1)
        squares = np.nansum((rows - mean) ** 2, 0)
        total = np.maximum(self.count + count, 1)
        delta = mean - self.mean
        self._squares += squares + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count += count
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)

    @property
    def std(self) -> NDArray[np.float64]:
        """[d] standard deviation over all finite entries (divided by their number); exactly 0 where constant."""
        found: NDArray[np.float64] = np.sqrt(self._squares / np.maximum(self.count, 1))
        found[self.constant] = 0.0
        return found

    @property
    def constant(self) -> NDArray[np.bool_]:
        """[d] the same number in every row."""
        return np.asarray((self.low == self.high) & (self.not_finite == 0))


class Values:
    """Distinct values of a column and how often each occurs, as long as they are few.

    Example:
        >>> values = Values()
        >>> values.feed(np.array([0.0, -1.0, -1.0])); values.feed(np.array([-1.0]))
        >>> values.counts
        {-1.0: 3, 0.0: 1}
    """

    def __init__(self) -> None:
        self._counts: dict[float, int] | None = {}

    def feed(self, column: Array) -> None:
        """Add rows [n]; NaN and infinities are passed over."""
        if self._counts is None:
            return
        values, counts = np.unique(column[np.isfinite(column)], return_counts=True)
        if len(values) > MAX_DISTINCT:
            self._counts = None
            return
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self._counts[float(value)] = self._counts.get(float(value), 0) + count
        if len(self._counts) > MAX_DISTINCT:
            self._counts = None

    @property
    def counts(self) -> dict[float, int] | None:
        """Value -> rows, from the smallest value up; None: more than :data:`MAX_DISTINCT` were met."""
        return None if self._counts is None else dict(sorted(self._counts.items()))


class Bounded:
    """How many entries of each column lie at, or beyond, its lower and its upper bound.

    Args:
        low: [d] lower bounds; an infinite one is never reached by a finite number.
        high: [d] upper bounds.

    Attributes:
        at_low: [d] entries no larger than the lower bound as float32.
        at_high: [d] entries no smaller than the upper bound as float32.
        rows: rows so far.
    """

    def __init__(self, low: Sequence[float] | Array, high: Sequence[float] | Array) -> None:
        self._low, self._high = np.asarray(low, np.float32), np.asarray(high, np.float32)
        self.at_low: NDArray[np.int64] = np.zeros(len(self._low), np.int64)
        self.at_high: NDArray[np.int64] = np.zeros(len(self._low), np.int64)
        self.rows = 0

    def feed(self, rows: Array) -> None:
        """Add rows [n, d]."""
        self.at_low += (rows <= self._low).sum(0)
        self.at_high += (rows >= self._high).sum(0)
        self.rows += len(rows)

    @property
    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[d] shares of the entries at the lower, and at the upper bound."""
        rows = max(self.rows, 1)
        return self.at_low / rows, self.at_high / rows
