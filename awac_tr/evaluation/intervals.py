"""How sure one can be of a measure over episodes.

An episode is the unit that is drawn independently, so uncertainty is taken over episodes:

* every measure gets a percentile bootstrap interval: episodes are drawn with replacement ``RESAMPLES`` times, from a
  seed of its own, and the interval runs from the 2.5 % to the 97.5 % quantile of the means (Efron, 1979);
* where all episodes agree (0 of 50 successes), resampling can only agree with itself and the interval has no width.
  Measures that are yes or no for each episode therefore get Wilson's score interval as well (Wilson, 1927), which stays
  honest at 0 and 1: 0 of 50 means at most 7.1 %. It is the one to quote for a success rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINARY", "METHOD", "RESAMPLES", "Estimate", "bootstrap", "estimate", "wilson"]

RESAMPLES: Final = 10_000
CONFIDENCE: Final = 0.95
METHOD: Final = (
    f"{CONFIDENCE:.0%} percentile bootstrap over episodes, {RESAMPLES} resamples; "
    "measures that are yes or no for each episode also Wilson's score interval"
)

BINARY: Final = frozenset({"success_any", "success_last", "success_steps"})
_BOOTSTRAP_STREAM: Final = 0xB007
_CHUNK: Final = 4_000_000
_Z: Final = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One measure over all episodes.

    Attributes:
        mean: over episodes.
        low: lower end of the bootstrap interval.
        high: upper end of the bootstrap interval.
        wilson: Wilson's score interval, for measures that are yes or no for each episode; else None.
        std: standard deviation over episodes (n - 1 in the denominator); 0 for one episode.
        smallest: of one episode.
        largest: of one episode.
    """

    mean: float
    low: float
    high: float
    wilson: tuple[float, float] | None
    std: float
    smallest: float
    largest: float

    @property
    def unanimous(self) -> bool:
        """All episodes gave the same value, so the bootstrap interval has no width and says nothing."""
        return self.smallest == self.largest


def estimate(names: Sequence[str], table: Floats, seed: int) -> dict[str, Estimate]:
    """Means and intervals of measures.

    Args:
        names: of the measures, m of them.
        table: [n, m] float64, an episode a row.
        seed: of the bootstrap.

    Returns:
        Name -> estimate. All measures share their resamples, as they share their episodes.
    """
    low, high = bootstrap(table, seed)
    spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros(len(names))
    return {
        name: Estimate(
            mean=float(column.mean()),
            low=float(low[index]),
            high=float(high[index]),
            wilson=wilson(round(column.sum()), len(column)) if name in BINARY else None,
            std=float(spread[index]),
            smallest=float(column.min()),
            largest=float(column.max()),
        )
        for index, (name, column) in enumerate(zip(names, table.T, strict=True))
    }


def bootstrap(table: Floats, seed: int, resamples: int = RESAMPLES) -> tuple[Floats, Floats]:
    """Percentile bootstrap intervals of the means of columns.

    Args:
        table: [n, m] float64, an episode a row, n >= 1.
        seed: the same seed gives the same interval.
        resamples: how many times n rows are drawn with replacement.

    Returns:
        Lower and upper ends, [m] float64 each: the 2.5 % and 97.5 % quantiles of the resampled means.

    Example:
        >>> low, high = bootstrap(np.arange(100.0)[:, None], seed=0)
        >>> bool(43 < low[0] < 45 and 54 < high[0] < 56)
        True
    """
    count = len(table)
    generator = np.random.default_rng([_BOOTSTRAP_STREAM, seed])
    chunk = max(1, _CHUNK // count)
    means = []
    for begin in range(0, resamples, chunk):
        # How often each row was drawn is all that matters of a resample, and is one multinomial draw.
        times = generator.multinomial(count, np.full(count, 1 / count), size=min(chunk, resamples - begin))
        means.append(times @ table / count)
    tail = (1 - CONFIDENCE) / 2
    ends = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    # Resampled sums of equal values round differently from each other; no interval may end beyond the data.
    low, high = np.clip(ends, table.min(axis=0), table.max(axis=0))
    return low, high


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion p of n (Wilson, 1927).

    ``(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`` with z = 1.96.

    Args:
        successes: in [0, count].
        count: at least 1.

    Example:
        >>> [round(end, 3) for end in wilson(0, 50)]
        [0.0, 0.071]
    """
    share, ratio = successes / count, _Z**2 / count
    middle = share + ratio / 2
    half = _Z * math.sqrt(share * (1 - share) / count + ratio / (4 * count))
    return max(0.0, (middle - half) / (1 + ratio)), min(1.0, (middle + half) / (1 + ratio))
