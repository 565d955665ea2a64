"""Do rewards fit the environment, its rule, the row they stand in, and what is recorded of success."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from awac_tr.data.format.findings import Finding, Severity
from awac_tr.data.storage.goal_arrays import GOAL_ARRAYS
from awac_tr.data.validation.base import SUCCESS, Array, Block, Context, RowList
from awac_tr.data.validation.reward_shift import Alignment, RewardRegression
from awac_tr.errors import EnvError

__all__ = ["RewardsCheck"]

_TOLERANCE: Final = 1e-5
_DISTINCT: Final = 16
_ENOUGH: Final = 20
_BY_CHANCE: Final = 0.2
_ROUNDED: Final = 0.01
"""Share of rewards that may differ from a goal rule's: goals are rounded to float32, rewards may have thresholds."""
_KNOWN: Final = (
    ({10.0, -0.1}, "these are gymnasium-robotics' own sparse rewards"),
    ({0.0, 1.0}, "these are goals as 0 and 1; here they are -1 and 0"),
)
_WORDS: Final = {-1: "the reward of the row before stands in each row", 1: "the reward of the row after"}


class RewardsCheck:
    """Range, rule, row and success of rewards; ``values`` are the first few distinct ones."""

    def __init__(self, context: Context) -> None:
        self._env = context.env
        self._outside = RowList()
        self._rule: Alignment | None = None
        self._goals: Alignment | None = None
        self._success: Alignment | None = None
        self._success_rule: Alignment | None = None
        self._regression = RewardRegression()
        self._many, self._rows, self._successes = False, 0, 0
        self.values: set[float] = set()

    def feed(self, block: Block) -> None:
        """Look at the next block."""
        rewards = block.new("rewards")
        self._rows += len(rewards)
        if self._env is not None:
            low, high = self._env.reward_range
            self._outside.add((rewards < low - _TOLERANCE) | (rewards > high + _TOLERANCE), block.start)
        self._collect(rewards)
        implied = self._implied(block)
        if implied is not None:
            self._rule = self._rule or Alignment()
            self._rule.feed(block, block.arrays["rewards"], implied)
        elif self._env is not None and self._env.goal is not None and block.arrays.keys() >= set(GOAL_ARRAYS):
            self._feed_goals(block)
        if SUCCESS in block.arrays:
            self._feed_success(block, implied)
        self._regression.feed(block)

    def _collect(self, rewards: Array) -> None:
        if not self._many and len(self.values) <= _DISTINCT:
            # Dense rewards are known by their first rows; sorting all of them would cost more than all the rest.
            head = np.unique(rewards[:256])
            self._many = len(head) > _DISTINCT
            found = head if self._many else np.unique(rewards)
            self.values |= {round(float(value), 6) for value in found[: _DISTINCT + 1]}

    def _implied(self, block: Block) -> Array | None:
        """Rewards by the environment's rule; None where it has none, or these are not its observations."""
        if self._env is None or self._env.reward_rule is None:
            return None
        states = block.arrays["next_observations"]
        return self._env.reward_rule(states) if states.shape[1] == self._env.observation_size else None

    def _feed_goals(self, block: Block) -> None:
        """Rewards against the environment's rule on goals, which says nothing where it takes no rows."""
        _, achieved, desired = (block.arrays[name].astype(np.float32, copy=False) for name in GOAL_ARRAYS)
        try:
            implied = self._env.goal.reward(achieved, desired)  # type: ignore[union-attr]
        except EnvError:
            return
        self._goals = self._goals or Alignment()
        self._goals.feed(block, block.arrays["rewards"], implied)

    def _feed_success(self, block: Block, implied: Array | None) -> None:
        """Success against the rule where there is one, else against rewards of two values."""
        success = block.arrays[SUCCESS].astype(bool)
        if implied is not None and self._env is not None and _is_binary(implied, self._env.reward_range):
            goal = np.abs(implied - self._env.reward_range[1]) <= _TOLERANCE
            self._success_rule = self._success_rule or Alignment()
            self._success_rule.feed(block, success.astype(np.float32), goal.astype(np.float32))
        elif not self._many and len(self.values) == 2:  # noqa: PLR2004  (reached, and not; one alone says nothing)
            self._success = self._success or Alignment()
            reached = block.arrays["rewards"] >= max(self.values) - _TOLERANCE
            self._successes += int(success[block.lead :].sum())
            self._success.feed(block, reached.astype(np.float32), success.astype(np.float32))

    def findings(self) -> list[Finding]:
        """Everything found, once the last block was fed."""
        for agreement in (self._rule, self._goals, self._success, self._success_rule):
            if agreement is not None:
                agreement.finish()
        found = self._range_findings() or self._rule_findings()
        found += self._success_findings()
        if not found and self._rule is None and self._goals is None and (self._many or len(self.values) > _DISTINCT):
            found += self._regression.findings()
        if len(self.values) == 1 and not self._many and not found and self._rows >= _ENOUGH:
            value = next(iter(self.values))
            found.append(Finding("note", "reward-constant", "rewards", f"every reward is {value:g}"))
        return found

    def _range_findings(self) -> list[Finding]:
        found = self._outside.finding("reward-range", "rewards", fixable=self._rule is not None)
        known = next((f"; {text}" for values, text in _KNOWN if self.values <= values), "")
        return [replace(finding, message=finding.message + known) for finding in found]

    def _rule_findings(self) -> list[Finding]:
        """By the rule on observations, which can mend them, or on goals."""
        rule, spared = (self._rule, 0.0) if self._rule is not None else (self._goals, _ROUNDED * self._rows)
        if rule is None or rule.wrong.count <= spared:
            return []
        shift, wrong, fixable = rule.shift(), rule.wrong, rule is self._rule
        if shift:
            message = f"{_WORDS[shift]}, by the environment's rule ({wrong.count:,} rows are wrong)"
            return [_shift("error", message, wrong, fixable=fixable)]
        return wrong.finding("reward-rule", "rewards", fixable=fixable)

    def _success_findings(self) -> list[Finding]:
        if self._success_rule is not None:
            return self._success_rule.wrong.finding("success", SUCCESS)
        if self._success is None or len(self.values) != 2:  # noqa: PLR2004
            return []
        wrong, total = self._success.wrong, self._success.rows
        if not 0 < self._successes < total:
            return []
        # Success that agrees by chance only, or is the opposite, is another notion than the reward's.
        if not wrong.count or wrong.count > _BY_CHANCE * total:
            return []
        shift = self._success.shift()
        if shift:
            return [_shift("warning", f"{_WORDS[shift]}, by the recorded success", wrong, fixable=False)]
        return wrong.finding("success", SUCCESS, fixable=False)


def _is_binary(rewards: Array, bounds: tuple[float, float]) -> bool:
    """Each is the smallest or the largest there is, so that the largest means success."""
    low, high = bounds
    return bool((np.minimum(np.abs(rewards - low), np.abs(rewards - high)) <= _TOLERANCE).all())


def _shift(severity: Severity, message: str, wrong: RowList, *, fixable: bool) -> Finding:
    few = tuple(int(row) for row in wrong.rows[:5])
    return Finding(severity, "reward-shift", "rewards", message, rows=few, count=wrong.count, fixable=fixable)
