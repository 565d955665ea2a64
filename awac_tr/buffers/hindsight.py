"""Hindsight: other goals for the transitions of a batch, and what they were worth by those.

A batch of n rows is cut into three parts, the shares of the recipe rounded to whole rows; rows are drawn uniformly, so
which part comes first does not matter:

- *kept*: as recorded;
- *fresh*: goals of the environment's own distribution (``sample_goals``), or, where it offers none, desired goals of
  rows of the buffer drawn uniformly;
- *future*: for the transition of step t of an episode of T steps, what was achieved after step k, k uniform over
  t, ..., T - 1: its own next achieved goal is one of them. Of an episode that is under way, T - 1 is its newest step.

The new goal replaces the last g entries of both observations and ``desired_goal``. Rewards, and ``terminated`` where
the environment has a rule for it, follow from the goal achieved after the transition. Nothing changes in storage.

TorchRL's ``HERReplayBuffer`` (0.14) is not used: its episodes are what lies between two ends in storage, so shares of
several environments and episodes cut by a resume run into each other, and one that passes the end of the ring is lost;
its goals may be those achieved *before* the transition; it leaves observations and ``terminated`` as they are, knows no
fresh goals, and draws from torch's global generator. A Transform would also change what ``buffer[...]`` reads, and is
not told which rows it is given; so this is called between a buffer's sampling and its caller, as TorchRL's own is.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from awac_tr.buffers.episode_index import EpisodeIndex
from awac_tr.buffers.storage import RowStorage, draw
from awac_tr.errors import RecipeError
from awac_tr.keys import (
    DESIRED_GOAL,
    DONE,
    NEXT_ACHIEVED_GOAL,
    NEXT_OBSERVATION,
    OBSERVATION,
    REWARD,
    TERMINATED,
    TRUNCATED,
)

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from torch import Tensor

    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.envs.goal_rule import GoalRule
    from awac_tr.recipes.schema import HindsightSection

__all__ = ["Hindsight", "goal_rule_of"]

_LOG = logging.getLogger(__name__)
_PROBED: Final = 3
_SEEDS: Final = 1 << 62


def goal_rule_of(env: EnvInfo | None) -> GoalRule:
    """The goal rule that relabelling needs.

    Raises:
        RecipeError: there is none, and why.
        EnvError: it does not take rows.
    """
    rule = env.goal if env is not None else None
    if rule is None:
        name = env.id if env is not None else "an unknown environment"
        if env is not None and env.env.reward is not None:
            hint = "Take env.reward out, or let a wrapper (env.wrappers) replace reward and compute_reward alike."
            raise RecipeError(f"hindsight: env.reward hides how the rewards of {name} follow from goals", hint)
        hint = "It takes observations of observation, achieved_goal and desired_goal, and compute_reward. Leave it out."
        raise RecipeError(f"hindsight: {name} is no goal environment, so there are no goals to replace", hint)
    goals = np.zeros((_PROBED, rule.size), np.float32)
    rule.reward(goals, goals)
    if rule.terminated is not None:
        rule.terminated(goals, goals)
    return rule


class Hindsight:
    """Relabels batches.

    Args:
        rule: of the environment, see :func:`goal_rule_of`.
        shares: the recipe's section.
        episodes: of the rows of the buffer.
    """

    def __init__(self, rule: GoalRule, shares: HindsightSection, episodes: EpisodeIndex) -> None:
        self._rule, self._shares, self._episodes = rule, shares, episodes
        if shares.fresh and rule.sample is None:
            _LOG.info("hindsight: the environment has no sample_goals; fresh goals are those of rows of the buffer")

    def relabel(
        self, batch: TensorDictBase, index: Tensor, storage: RowStorage, generator: torch.Generator | None
    ) -> None:
        """Replace goals in place.

        Args:
            batch: copies of rows, [B].
            index: which rows, [B] int64.
            storage: they came from.
            generator: all randomness comes from it; None: torch's global one.
        """
        shares, size = self._shares, len(index)
        first, middle = round(shares.kept * size), round((shares.kept + shares.fresh) * size)
        if first == size:
            return
        fresh = self._fresh(middle - first, storage, generator)
        future = self._future(index[middle:], storage, generator)
        device = batch.get(OBSERVATION).device
        self._give(batch, first, torch.cat([fresh.to(device), future.to(device)]))

    def _fresh(self, count: int, storage: RowStorage, generator: torch.Generator | None) -> Tensor:
        if not count:
            return torch.empty(0, self._rule.size)
        if self._rule.sample is None:
            return storage.column(DESIRED_GOAL, draw(len(storage), count, generator))
        seed = int(draw(_SEEDS, 1, generator))
        return torch.from_numpy(self._rule.sample(count, np.random.default_rng(seed)))

    def _future(self, rows: Tensor, storage: RowStorage, generator: torch.Generator | None) -> Tensor:
        device = None if generator is None else generator.device
        shares = torch.rand(len(rows), generator=generator, dtype=torch.float64, device=device)
        later = self._episodes.later(rows, shares.to(rows.device))
        return storage.column(NEXT_ACHIEVED_GOAL, later)

    def _give(self, batch: TensorDictBase, first: int, goals: Tensor) -> None:
        """These goals to the rows from the first on, and what follows from them."""
        for key in (OBSERVATION, NEXT_OBSERVATION):
            batch.get(key)[first:, -self._rule.size :] = goals
        batch.get(DESIRED_GOAL)[first:] = goals
        pair = batch.get(NEXT_ACHIEVED_GOAL)[first:].cpu().numpy(), goals.cpu().numpy()
        rewards = batch.get(REWARD)
        rewards[first:, 0] = torch.from_numpy(self._rule.reward(*pair)).to(rewards.device)
        if self._rule.terminated is not None:
            terminated = batch.get(TERMINATED)
            terminated[first:, 0] = torch.from_numpy(self._rule.terminated(*pair)).to(terminated.device)
            batch.get(DONE)[first:] = terminated[first:] | batch.get(TRUNCATED)[first:]
