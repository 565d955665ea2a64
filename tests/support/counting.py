"""An environment that counts its steps, and may be made to go wrong at any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

__all__ = ["Counting"]


class Counting(gymnasium.Env[Any, Any]):
    """Counts steps in an observation that it hands out again and again; every step may be made to go wrong."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(np.float32([-1, -2]), np.float32([1, 2]))

    def __init__(self, trouble: Callable[[int], Any] | None = None, terminate_at: int | None = None) -> None:
        self._trouble, self._terminate_at = trouble, terminate_at
        self._observation = np.zeros(2, np.float32)
        self.executed: list[np.ndarray] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._observation[:] = (0, self.np_random.random())
        return self._observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.executed.append(action.copy())
        self._observation[0] += 1
        count = int(self._observation[0])
        reward = float(count) if self._trouble is None else self._trouble(count)
        return self._observation, reward, count == self._terminate_at, False, {}
