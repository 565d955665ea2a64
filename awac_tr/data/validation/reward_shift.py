"""Rewards in the wrong row: held against what a rule implies row by row, or, dense ones, by least squares."""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.format.findings import Finding
from awac_tr.data.validation.base import Array, Block, RowList

__all__ = ["Alignment", "RewardRegression"]

_TOLERANCE: Final = 1e-5
_MOST_ROWS: Final = 20_000
_ROWS_A_FEATURE: Final = 10
_EXPLAINED: Final = 0.98
_TIMES: Final = 5.0
_WORDS: Final = {
    -1: "each row seems to hold the reward of the row before",
    1: "each row seems to hold the reward of the row after",
}


class Alignment:
    """Compares the recorded with the implied, in place (``wrong`` rows of ``rows``) and shifted within episodes."""

    def __init__(self) -> None:
        self.wrong = RowList()
        self.rows = 0
        self._late = self._early = self._pairs = 0
        self._last = (False, 0)

    def feed(self, block: Block, recorded: Array, implied: Array) -> None:
        """Compare a block: both arrays are [n], with its leading row."""
        wrong, inside = np.abs(recorded - implied) > _TOLERANCE, ~block.ends[:-1]
        # Where the next observation is of another episode, nothing follows from it: that is a fault of its own. The
        # last row is known to be none only when the row after has been seen.
        self.wrong.add(wrong[:-1] & ~(block.joined() & block.ends[:-1]), block.base)
        self._last = (bool(wrong[-1]), block.base + len(wrong) - 1)
        self._late += int((np.abs(recorded[1:] - implied[:-1]) > _TOLERANCE)[inside].sum())
        self._early += int((np.abs(recorded[:-1] - implied[1:]) > _TOLERANCE)[inside].sum())
        self._pairs += int(inside.sum())
        self.rows += len(recorded) - block.lead

    def finish(self) -> None:
        """Count the last row of the file, too."""
        wrong, row = self._last
        self.wrong.add(np.array([wrong]), row)
        self._last = (False, row)

    def shift(self) -> int:
        """-1 where each row has what the row before implies, 1 what the row after implies, 0 where neither.

        A shift is said where it explains every row inside episodes, and more than one differs in place.
        """
        if self.wrong.count < 2 or not self._pairs:  # noqa: PLR2004  (one row fits any story)
            return 0
        return -1 if not self._late else 1 if not self._early else 0


class RewardRegression:
    """Which row's transition do dense rewards follow from, by least squares over the first rows inside episodes.

    The reward of a transition is a function of it; for most tasks (speed, distance, less the square of the action)
    nearly a linear one of (now, next, action, squared action). So the rewards of a row, of the row before and of the
    row after are each regressed on the row's transition. Where one of the neighbours fits almost perfectly and the
    row's own reward does not, rewards are shifted. Anything less clear is not said.
    """

    def __init__(self) -> None:
        self._inputs: list[Array] = []
        self._rewards: list[Array] = []
        self._rows = 0

    def feed(self, block: Block) -> None:
        """Take rows that have a row before and a row after in their episode."""
        if self._rows >= _MOST_ROWS or len(block.ends) < 3:  # noqa: PLR2004
            return
        inside = np.flatnonzero(~block.ends[:-2] & ~block.ends[1:-1]) + 1
        inside = inside[: _MOST_ROWS - self._rows]
        names = ("observations", "next_observations", "actions")
        states, following, actions = (block.arrays[name][inside].astype(np.float64) for name in names)
        ones, squares = np.ones((len(inside), 1)), (actions**2).sum(axis=1, keepdims=True)
        self._inputs.append(np.concatenate([ones, states, following, actions, squares], axis=1))
        rewards = block.arrays["rewards"]
        self._rewards.append(np.stack([rewards[inside + 1], rewards[inside], rewards[inside - 1]], axis=1))
        self._rows += len(inside)

    def unexplained(self) -> Array | None:
        """Share of the variance left of the rewards of the row (after, own, before), [3]; None: too few rows."""
        if not self._rows:
            return None
        inputs, rewards = np.concatenate(self._inputs), np.concatenate(self._rewards).astype(np.float64)
        finite = np.isfinite(inputs).all(axis=1) & np.isfinite(rewards).all(axis=1)
        inputs, rewards = inputs[finite], rewards[finite]
        if len(inputs) < _ROWS_A_FEATURE * inputs.shape[1] or not (rewards.std(axis=0) > 0).all():
            return None
        left = rewards - inputs @ np.linalg.lstsq(inputs, rewards, rcond=1e-10)[0]
        shares: Array = left.var(axis=0) / rewards.var(axis=0)
        return shares

    def findings(self) -> list[Finding]:
        """A warning, where it is as good as certain."""
        shares = self.unexplained()
        if shares is None:
            return []
        best = int(np.argmin(shares))
        clear = shares[best] <= 1 - _EXPLAINED and shares[1] > _TIMES * max(float(shares[best]), 1e-6)
        if best == 1 or not clear:
            return []
        # The transition of a row explains the reward that stands a row further: that one came late.
        message = (
            f"{_WORDS[-1 if best == 0 else 1]}: a linear fit explains {1 - shares[best]:.1%} of those "
            f"and {1 - shares[1]:.1%} of the row's own"
        )
        return [Finding("warning", "reward-shift", "rewards", message, fixable=False)]
