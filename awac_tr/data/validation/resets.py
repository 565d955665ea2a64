"""Rows over which an environment was reset: borders that nobody marked, and resets that were stored as steps."""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.validation.base import Array, Block, RowList
from awac_tr.data.validation.numbers import HUGE
from awac_tr.data.validation.outliers import OutlierModel

__all__ = ["Autoreset", "Starts", "after_joined_end"]

_KEPT: Final = 256
_JUMP: Final = 2.0
_NEARER: Final = 0.5
_MOST: Final = 0.9
_SURPRISING: Final = 0.01
"""Share of ordinary steps that are as surprising as this."""
_FAR: Final = 4
_CHANCE: Final = 1e-3


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
        """Note those of the rows that go to a first state, [n - 1] bool, that are surprising."""
        rows = np.flatnonzero(homeward)
        odd = surprise.of_rows(block, rows) > _JUMP * surprise.usual
        self.unmarked = np.concatenate([self.unmarked, rows[odd] + block.base])


def _nearest(points: Array, known: Array) -> Array:
    """Distance of each point [n, o] to the nearest of the known [k, o]."""
    squares = (points**2).sum(axis=1)[:, None] + (known**2).sum(axis=1)[None] - 2 * points @ known.T
    nearest: Array = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return nearest


def after_joined_end(block: Block, joined: Array) -> Array:
    """Rows whose observation is the one that the row before, an end, led to; [n] bool."""
    found: Array = np.append(False, joined & block.ends[:-1])
    return found


class Autoreset:
    """Rows of Gymnasium's next-step autoreset: a vector environment resets in the step after an end.

    Since Gymnasium 1.0 the observation after an end is the last one of the episode, once more; the step that follows
    ignores its action, returns the first observation of the next episode and a reward of 0. Recorders that write down
    every call store it as a transition.

    A reset ends no episode, has the same reward everywhere (0), and is a jump that no step within an episode makes,
    while the step before it is an ordinary one. All such rows of a file decide together.
    """

    def __init__(self) -> None:
        self._rows, self._joined = RowList(), 0
        self._rewards: list[Array] = []
        self._scores: list[Array] = []
        self._usual = 0.0
        self._zeros = self._seen = 0

    def look(self, block: Block, joined: Array, surprise: OutlierModel | None) -> None:
        """Look at the next block; without a model of ordinary steps nothing is noted."""
        self._zeros += int((block.new("rewards") == 0).sum())
        self._seen += len(block.new("rewards"))
        after = after_joined_end(block, joined)
        self._joined += int(after.sum())
        after &= ~block.ends
        if surprise is None or not after.any():
            return
        self._usual = surprise.usual
        self._rows.add(after, block.base)
        self._rewards.append(block.arrays["rewards"][after])
        rows = np.flatnonzero(after)
        self._scores.append(np.stack([surprise.of_rows(block, rows - 1), surprise.of_rows(block, rows)]))

    def rows(self, gaps: Array) -> Array:
        """Rows that are a reset and no step, [n] int64, ascending; none where that could be chance.

        From the rows ``gaps`` states do not run on: no reset is among them.
        """
        rows = self._rows.rows
        none, run_on = rows[:0], ~np.isin(rows, gaps)
        if run_on.sum() < _MOST * self._joined or not run_on.any() or not self._rows.complete:
            return none
        rewards, (before, own) = np.concatenate(self._rewards), np.concatenate(self._scores, axis=1)
        rows, rewards, before, own = rows[run_on], rewards[run_on], before[run_on], own[run_on]
        reward = np.sort(rewards)[len(rewards) // 2]
        same = rewards == reward
        step, jump = float(np.median(before[same])), float(np.median(own[same]))
        # Where the model fits to the last digit, a step near the end may differ by more rounding than most.
        if same.mean() < _MOST or step > max(self._usual, jump / _FAR):
            return none
        rows = rows[same]
        others = self._seen - len(rows)
        share = (self._zeros - len(rows) + 1) / (others + 2) if reward == 0 else 1.0
        share *= _SURPRISING if jump > self._usual else 1.0
        return rows if share ** len(rows) < _CHANCE else none
