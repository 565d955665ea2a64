"""n-step transitions: the rewards of up to n steps in one, as TorchRL's ``MultiStep`` makes them, when they are drawn.

For step t of an episode, k = min(n, steps to its end or its newest step):
``reward = sum_{i<k} gamma^i r_{t+i}``; next observation and flags are those of step t + k - 1, and
``steps_to_next_obs`` is k, the power of gamma in TorchRL's value estimators. TorchRL's transform works on rollouts
before they are stored, and an episode that a round cuts in two would be cut there for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import torch

from awac_tr.keys import DONE, NEXT_OBSERVATION, REWARD, STEPS_TO_NEXT, TERMINATED, TRUNCATED, Key

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from torch import Tensor

    from awac_tr.buffers.episode_index import EpisodeIndex

__all__ = ["NStep"]

_LAST: Final[tuple[Key, ...]] = (NEXT_OBSERVATION, TERMINATED, TRUNCATED, DONE)


class _Rows(Protocol):
    def column(self, key: Key, index: Tensor) -> Tensor: ...


class NStep:
    """Turns rows into n-step transitions.

    Args:
        steps: n, at least 2.
        gamma: discount.
        episodes: of the rows of the buffer.
    """

    def __init__(self, steps: int, gamma: float, episodes: EpisodeIndex) -> None:
        self._steps, self._gamma, self._episodes = steps, gamma, episodes

    def apply(self, batch: TensorDictBase, index: Tensor, storage: _Rows) -> None:
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
        for key in _LAST:
            batch.set(key, storage.column(key, last))
