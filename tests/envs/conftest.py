"""The three tasks and what acts in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

from awac_tr.envs.make import make_env

TASKS = ("pen", "door", "relocate")


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def env(task: str) -> Iterator[gymnasium.Env[Any, Any]]:
    made = make_env(f"{task}-binary-v0")
    yield made
    made.close()


class _Toy(gymnasium.Env[Any, Any]):
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


@pytest.fixture
def toy() -> Iterator[str]:
    """The id of an environment of two numbers with a registered horizon of 5 steps."""
    gymnasium.register("toy-v0", entry_point=_Toy, max_episode_steps=5)
    yield "toy-v0"
    del gymnasium.registry["toy-v0"]
