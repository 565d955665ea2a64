"""The goal arrays of a dataset on their way into a buffer, held against the environment's rule."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.format.spec import INFOS
from awac_tr.errors import DatasetError
from awac_tr.keys import GOALS

if TYPE_CHECKING:
    from awac_tr.data.storage.reader import Dataset
    from awac_tr.envs.goal_rule import GoalRule

__all__ = ["GOAL_ARRAYS", "GoalArrays", "has_goals"]

Array = np.ndarray[Any, Any]

_LOG = logging.getLogger(__name__)

GOAL_ARRAYS: Final = tuple(f"{INFOS}/{name}" for name in GOALS)
"""Names in files: what was achieved before and after each action, and what was desired."""

_TOLERANCE: Final = 1e-4
"""Of rewards and goals, relative to numbers above 1: recorders round to float32 at different places."""
_SPARED: Final = 0.01
"""Share of rewards that may differ: those of rows at a threshold, by such rounding."""


def has_goals(dataset: Dataset, rule: GoalRule) -> bool:
    """Whether a file has all goal arrays, of the rule's size."""
    try:
        GoalArrays(dataset, rule)
    except DatasetError:
        return False
    return True


class GoalArrays:
    """Picks the goal arrays out of blocks of rows, and looks whether relabelled rewards would be of the same task.

    Raises:
        DatasetError: the file has no goals, or of another size.
    """

    def __init__(self, dataset: Dataset, rule: GoalRule) -> None:
        self._path, self._rule = dataset.path, rule
        self._rows = self._other_rewards = 0
        for name in GOAL_ARRAYS:
            if name not in dataset.array_names:
                hint = "Hindsight needs episodes that awac-tr collected in the goal environment; or leave it out."
                raise DatasetError(f"dataset {dataset.path} has no goals: {name} is missing", hint)
            wanted = (dataset.n_transitions, rule.size)
            if dataset.shape(name) != wanted or dataset.dtype(name).kind != "f":
                found = f"{dataset.dtype(name)} {list(dataset.shape(name))}"
                raise DatasetError(f"dataset {dataset.path}: {name} is {found}, not numbers {list(wanted)}")

    def __call__(self, block: Mapping[str, Array]) -> dict[str, Array]:
        """The goals of a block of rows, float32, by their names without ``infos/``.

        Raises:
            DatasetError: NaN or infinity, or the observations do not end with the desired goals.
        """
        goals = {name: block[f"{INFOS}/{name}"].astype(np.float32, copy=False) for name in GOALS}
        broken = [name for name, rows in goals.items() if not np.isfinite(rows).all()]
        if broken:
            raise DatasetError(f"dataset {self._path}: {', '.join(broken)}: NaN or infinity")
        desired = goals["desired_goals"]
        if not _near(block["observations"][:, -self._rule.size :], desired).all():
            hint = "Observations of a goal environment are observation, then desired_goal."
            raise DatasetError(f"dataset {self._path}: the observations do not end with the desired goals", hint)
        worth = self._rule.reward(goals["next_achieved_goals"], desired)
        self._other_rewards += int((~_near(block["rewards"], worth)).sum())
        self._rows += len(desired)
        return goals

    def report(self) -> None:
        """Say what was found in all blocks; DatasetError where recorded rewards are not those of the rule."""
        if not self._other_rewards:
            return
        text = f"{self._other_rewards:,} of {self._rows:,} recorded rewards are not what compute_reward gives"
        if self._other_rewards > _SPARED * self._rows:
            hint = "Relabelled rewards would be of another task: collect with the recipe's env, or leave hindsight out."
            raise DatasetError(f"dataset {self._path}: {text}", hint)
        _LOG.info("%s: %s; so few are taken for rounding at a threshold", self._path, text)


def _near(found: Array, expected: Array) -> Array:
    near: Array = np.abs(found - expected) <= _TOLERANCE * np.maximum(1, np.abs(expected))
    return near
