"""Steps within an episode that lead to where episodes begin: a border that nobody marked."""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.semantics.base import Array, Block
from awac_tr.data.semantics.surprise import Surprise

__all__ = ["Starts"]

_KEPT: Final = 256
_FEWEST: Final = 5
_NEAR: Final = 1.5
_FAR: Final = 3.0


class Starts:
    """First states of episodes, and rows that jump to one.

    A row counts where its step is more surprising than 99 of 100, its next observation is as near to a known first
    state as those are to each other, and its observation is not.

    Attributes:
        unmarked: such rows of the file, ascending.
    """

    def __init__(self) -> None:
        self._starts: list[Array] = []
        self._scale: Array | None = None
        self._reach = 0.0
        self.unmarked = np.zeros(0, dtype=np.int64)

    def learn(self, block: Block) -> None:
        """Remember first states, the first few hundred of the file."""
        states = block.arrays["observations"]
        if block.start == 0:
            self._starts += [states[0]]
        rows = np.flatnonzero(block.ends[:-1]) + 1
        if len(self._starts) >= _KEPT or not len(rows):
            return
        self._starts += list(states[rows[: _KEPT - len(self._starts)]])
        if self._scale is None:
            finite = states[np.isfinite(states).all(axis=1)].astype(np.float64)
            self._scale = np.maximum(finite.std(axis=0), 1e-6) if len(finite) else None
        if self._scale is None:
            return
        self._starts = [state for state in self._starts if np.isfinite(state).all()]
        if len(self._starts) >= _FEWEST:
            known = np.stack(self._starts) / self._scale
            self._reach = float(np.quantile(_nearest(known, known, itself=True), 0.95))

    def look(self, block: Block, inside: Array, surprise: Surprise | None) -> None:
        """Look for such rows.

        Args:
            block: the block.
            inside: [n - 1] bool, rows within an episode whose states run on.
            surprise: the model of ordinary steps; None: nothing is said.
        """
        if surprise is None or self._scale is None or len(self._starts) < _FEWEST:
            return
        names = ("observations", "actions", "next_observations")
        states, actions, following = (block.arrays[name][:-1] for name in names)
        odd = np.flatnonzero(inside)
        odd = odd[np.isfinite(states[odd]).all(axis=1) & np.isfinite(following[odd]).all(axis=1)]
        odd = odd[surprise.of(states[odd], actions[odd], following[odd]) > surprise.usual]
        if not len(odd):
            return
        known = np.stack(self._starts) / self._scale
        to_start = _nearest(following[odd] / self._scale, known)
        from_start = _nearest(states[odd] / self._scale, known)
        reach = max(self._reach, 1e-6)
        hit = odd[(to_start <= _NEAR * reach) & (from_start > _FAR * reach)]
        self.unmarked = np.concatenate([self.unmarked, hit + block.base])


def _nearest(points: Array, known: Array, *, itself: bool = False) -> Array:
    """Distance of each point [n, o] to the nearest of the known [k, o]; ``itself`` leaves out the point's own."""
    squares = (points**2).sum(axis=1)[:, None] + (known**2).sum(axis=1)[None] - 2 * points @ known.T
    if itself:
        np.fill_diagonal(squares, np.inf)
    nearest: Array = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return nearest
