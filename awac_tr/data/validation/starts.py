"""Steps within an episode that lead to where episodes begin: a border that nobody marked."""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.validation.base import Array, Block
from awac_tr.data.validation.numbers import HUGE
from awac_tr.data.validation.outliers import OutlierModel

__all__ = ["Starts"]

_KEPT: Final = 256
_JUMP: Final = 2.0
_NEARER: Final = 0.5


class Starts:
    """First states of episodes, and rows that jump to one.

    A row counts where its step is twice as surprising as 99 of 100 are, and takes at least half of the way to a first
    state. No step of a controlled system does both, however few episodes are known. The first state of the file is
    also asked alone, since it is one even where all other flags stand in wrong rows.

    Attributes:
        unmarked: such rows of the file, ascending.
    """

    def __init__(self) -> None:
        self._starts: list[Array] = []
        self._scale: Array | None = None
        self.unmarked = np.zeros(0, dtype=np.int64)

    def learn(self, block: Block) -> None:
        """Remember first states, the first few hundred of the file."""
        states = block.arrays["observations"]
        rows = np.flatnonzero(block.ends[:-1]) + 1
        rows = np.append(0, rows) if block.start == 0 else rows
        rows = rows[np.isfinite(states[rows]).all(axis=1)]
        self._starts += list(states[rows[: _KEPT - len(self._starts)]].astype(np.float64))
        if self._scale is None:
            finite = states[np.isfinite(states).all(axis=1)].astype(np.float64)
            self._scale = np.maximum(finite.std(axis=0), 1e-6) if len(finite) else None

    def homeward(self, block: Block) -> Array:
        """Of every row but the last: it takes half of the way to a first state, [n - 1] bool."""
        states, following = block.arrays["observations"][:-1], block.arrays["next_observations"][:-1]
        # from a number that is none every step leads home; such comparisons are false for NaN
        found: Array = np.asarray((np.abs(states) < HUGE).all(axis=1) & (np.abs(following) < HUGE).all(axis=1))
        if self._scale is None or not self._starts:
            return np.zeros_like(found)
        before, after = states[found] / self._scale, following[found] / self._scale
        known = np.stack(self._starts) / self._scale
        nearer = [_nearest(after, some) <= _NEARER * _nearest(before, some) for some in (known, known[:1])]
        found[found] = np.logical_or(*nearer)
        return found

    def look(self, block: Block, homeward: Array, surprise: OutlierModel) -> None:
        """Note those of some rows that are surprising.

        Args:
            block: the block.
            homeward: [n - 1] bool, rows that go to a first state.
            surprise: the model of ordinary steps.
        """
        rows = np.flatnonzero(homeward)
        names = ("observations", "actions", "next_observations")
        odd = surprise.of(*(block.arrays[name][rows] for name in names)) > _JUMP * surprise.usual
        self.unmarked = np.concatenate([self.unmarked, rows[odd] + block.base])


def _nearest(points: Array, known: Array) -> Array:
    """Distance of each point [n, o] to the nearest of the known [k, o]."""
    squares = (points**2).sum(axis=1)[:, None] + (known**2).sum(axis=1)[None] - 2 * points @ known.T
    nearest: Array = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return nearest
