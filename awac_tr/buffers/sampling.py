"""What samples of a replay buffer are, beyond rows drawn alike: offline and online rows mixed, n-step transitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torchrl.data import RandomSampler

from awac_tr.buffers.storage import RowStorage, draw
from awac_tr.keys import DONE, EXTRA, NEXT_OBSERVATION, REWARD, STEPS_TO_NEXT, TERMINATED, TRUNCATED

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from torch import Tensor
    from torchrl.data.replay_buffers import Storage

    from awac_tr.buffers.episode_index import EpisodeIndex
    from awac_tr.recipes.schema import HindsightSection, Recipe

__all__ = ["MixedSampler", "NStep", "Sampling"]


@dataclass(frozen=True)
class Sampling:
    """How batches are made of rows.

    Attributes:
        hindsight: shares of goals to replace; None, or all kept: none.
        offline_share: share of a batch drawn from the offline rows once there are online ones; None: all rows alike.
        n_steps: steps whose rewards a transition sums up, see :class:`NStep`.
        gamma: discount of those.
        keys: of :data:`awac_tr.keys.EXTRA`.
        demonstrations: whether a batch holds a second one, of rows of datasets of source ``demos``.
        trajectories: whether whole episodes are asked for.

    Raises:
        ValueError: an unknown key, or n-step transitions with hindsight: their rewards are of other goals.
    """

    hindsight: HindsightSection | None = None
    offline_share: float | None = None
    n_steps: int = 1
    gamma: float = 1.0
    keys: tuple[str, ...] = ()
    demonstrations: bool = False
    trajectories: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.keys) - set(EXTRA)
        if unknown:
            raise ValueError(f"no batch key {', '.join(sorted(unknown))}; known: {', '.join(EXTRA)}")
        if self.relabels and self.n_steps > 1:
            raise ValueError("n-step transitions and hindsight exclude each other")

    @classmethod
    def of(cls, recipe: Recipe) -> Sampling:
        """What a recipe and its algorithm ask for."""
        needs, reads, gamma = recipe.algorithm.needs(), recipe.algorithm.reads, recipe.algorithm.discount()
        return cls(
            hindsight=recipe.hindsight if "hindsight" in reads else None,
            offline_share=None if recipe.buffer.mix == "union" else recipe.buffer.mix,
            n_steps=recipe.buffer.n_steps if "buffer.n_steps" in reads else 1,
            gamma=1.0 if gamma is None else gamma,
            keys=needs.keys,
            demonstrations=needs.demonstrations,
            trajectories=bool({"trajectories", "buffer"} & {needs.offline, needs.online}),
        )

    @property
    def relabels(self) -> bool:
        """Whether any goal is replaced."""
        return self.hindsight is not None and self.hindsight.relabels

    @property
    def follows_episodes(self) -> bool:
        """Whether it must be known which rows follow each other."""
        return self.relabels or self.n_steps > 1 or bool(self.keys) or self.trajectories


class MixedSampler(RandomSampler):
    """TorchRL's sampler, with a fixed share of every batch from the rows that were there first.

    Args:
        offline_share: of a batch, rounded to whole rows, once there are other rows.

    Attributes:
        offline_rows: rows 0 to here are offline ones; they are never overwritten.
    """

    def __init__(self, offline_share: float) -> None:
        super().__init__()
        self.offline_share, self.offline_rows = offline_share, 0

    def sample(self, storage: Storage, batch_size: int) -> tuple[torch.Tensor, dict[str, Any]]:
        """Row numbers [batch_size], the offline ones first."""
        generator, rows = storage._rng, len(storage)  # noqa: SLF001  (where TorchRL's own samplers look)
        offline = batch_size if rows == self.offline_rows else round(self.offline_share * batch_size)
        first = draw(self.offline_rows, offline, generator)
        if offline == batch_size:
            return first, {}
        later = self.offline_rows + draw(rows - self.offline_rows, batch_size - offline, generator)
        return torch.cat([first, later]), {}


class NStep:
    """Turns rows into n-step transitions, as TorchRL's ``MultiStep`` makes them, when they are drawn.

    For step t of an episode, k = min(n, steps to its end or its newest step):
    ``reward = sum_{i<k} gamma^i r_{t+i}``; next observation and flags are those of step t + k - 1, and
    ``steps_to_next_obs`` is k, the power of gamma in TorchRL's value estimators. TorchRL's transform works on rollouts
    before they are stored, and an episode that a round cuts in two would be cut there for good.

    Args:
        steps: n, at least 2.
        gamma: discount.
        episodes: of the rows of the buffer.
    """

    def __init__(self, steps: int, gamma: float, episodes: EpisodeIndex) -> None:
        self._steps, self._gamma, self._episodes = steps, gamma, episodes

    def apply(self, batch: TensorDictBase, index: Tensor, storage: RowStorage) -> None:
        """Change a batch in place.

        Args:
            batch: copies of rows, [B].
            index: which rows, [B] int64.
            storage: they came from.
        """
        last, taken = index, torch.ones_like(index)
        reward = batch.get(REWARD).clone()
        for step in range(1, self._steps):
            following = self._episodes.after(index, step)
            goes_on = following >= 0
            last = torch.where(goes_on, following, last)
            reward += self._gamma**step * storage.column(REWARD, last) * goes_on.unsqueeze(-1)
            taken += goes_on
        batch.set(REWARD, reward)
        batch.set(STEPS_TO_NEXT, taken.unsqueeze(-1))
        for key in (NEXT_OBSERVATION, TERMINATED, TRUNCATED, DONE):
            batch.set(key, storage.column(key, last))
