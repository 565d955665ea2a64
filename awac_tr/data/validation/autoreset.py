"""Rows of Gymnasium's next-step autoreset: a vector environment resets in the step after an end, and that is no step.

Since Gymnasium 1.0 the observation after an end is the last one of the episode, once more; the step that follows
ignores its action, returns the first observation of the next episode and a reward of 0. Recorders that write down every
call store it as a transition.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.validation.base import Array, Block, RowList
from awac_tr.data.validation.outliers import OutlierModel

__all__ = ["Autoreset", "after_joined_end"]

_MOST: Final = 0.9
_SURPRISING: Final = 0.01
"""Share of ordinary steps that are as surprising as this."""
_FAR: Final = 4
_CHANCE: Final = 1e-3


def after_joined_end(block: Block, joined: Array) -> Array:
    """Rows whose observation is the one that the row before, an end, led to; [n] bool."""
    found: Array = np.append(False, joined & block.ends[:-1])
    return found


class Autoreset:
    """Rows after an end over which states run on, and what speaks for a reset in them.

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
        self._scores.append(np.stack([_scores(block, surprise, rows - 1), _scores(block, surprise, rows)]))

    def rows(self, gaps: Array) -> Array:
        """Rows that are a reset and no step, [n] int64, ascending; none where that could be chance.

        Args:
            gaps: rows from which states do not run on: no reset is among them.
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


def _scores(block: Block, surprise: OutlierModel, rows: Array) -> Array:
    names = ("observations", "actions", "next_observations")
    return surprise.of(*(block.arrays[name][rows] for name in names))
