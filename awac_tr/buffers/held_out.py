"""Episodes of the offline data that are kept apart, whole, so that nothing learns from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from awac_tr.keys import DONE

__all__ = ["HeldOut"]

_STREAM = 0x4E1D


class HeldOut:
    """Hands rows on, all but those of some episodes, which it keeps.

    Args:
        share: of the episodes that are kept, evenly over their order.
        seed: the same seed keeps the same episodes.
        take: given the other rows, in blocks.

    Attributes:
        episodes: how many were kept.
    """

    def __init__(self, share: float, seed: int, take: Callable[[TensorDict], Any]) -> None:
        self._share, self._take = share, take
        self._sum = float(np.random.default_rng([_STREAM, seed]).random())
        self._keeps = self._next()
        self._kept: list[TensorDict] = []
        self.episodes = 0

    def __call__(self, block: TensorDict) -> None:
        """Take a block of rows [n], in order; an episode may go on in the next one."""
        done = block[DONE].reshape(-1).tolist()
        keeps = torch.zeros(len(done), dtype=torch.bool)
        for row, ends in enumerate(done):
            keeps[row] = self._keeps
            if ends:
                self.episodes += self._keeps
                self._keeps = self._next()
        if bool(keeps.any()):
            self._kept.append(block[keeps].clone())
        if not bool(keeps.all()):
            self._take(block[~keeps])

    @property
    def rows(self) -> TensorDict:
        """The rows that were kept, [N]."""
        return torch.cat(self._kept) if self._kept else TensorDict({}, batch_size=[0])

    def _next(self) -> bool:
        """Whether the next episode is kept: where the sum of shares, from a random start, passes a whole number."""
        self._sum += self._share
        keeps = self._sum >= 1
        self._sum -= keeps
        return keeps
