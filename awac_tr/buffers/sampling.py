"""What samples of a replay buffer are, beyond rows drawn alike; and the sampler that mixes offline and online rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torchrl.data import RandomSampler

from awac_tr.keys import EXTRA

if TYPE_CHECKING:
    from torchrl.data.replay_buffers import Storage

    from awac_tr.recipes.schema import HindsightSection, Recipe

__all__ = ["MixedSampler", "Sampling"]


@dataclass(frozen=True)
class Sampling:
    """How batches are made of rows.

    Attributes:
        hindsight: shares of goals to replace; None, or all kept: none.
        offline_share: share of a batch drawn from the offline rows once there are online ones; None: all rows alike.
        n_steps: steps whose rewards a transition sums up, see :mod:`awac_tr.buffers.n_step`.
        gamma: discount of those.
        keys: of :data:`awac_tr.keys.EXTRA`.
        demonstrations: whether a batch holds a second one, of rows of datasets of source ``demos``.
        trajectories: whether whole episodes are drawn.

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
            trajectories="trajectories" in (needs.offline, needs.online),
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
        device = "cpu" if generator is None else generator.device
        offline = batch_size if rows == self.offline_rows else round(self.offline_share * batch_size)
        first = torch.randint(self.offline_rows, (offline,), generator=generator, device=device)
        if offline == batch_size:
            return first, {}
        size = (batch_size - offline,)
        return torch.cat([first, torch.randint(self.offline_rows, rows, size, generator=generator, device=device)]), {}
