"""One episode as arrays, and what acts in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from awac_tr.errors import EnvError

__all__ = [
    "Controller",
    "Episode",
    "OnFrame",
    "action_bounds",
    "box_spaces",
    "episode_seeds",
    "inner_bounds",
    "one_torch_thread",
]

OnFrame = Callable[[NDArray[np.uint8], int, float, "bool | None"], None]
"""Called with image [height, width, 3], steps done, reward of the last step (nan before the first), success or None."""


@dataclass(frozen=True)
class Episode:
    """T transitions of one episode; row t holds the state before action t and what came of it.

    Args:
        observations: [T, o] float32.
        actions: [T, a] float32, as executed: clipped to the bounds of the action space.
        rewards: [T] float32.
        next_observations: [T, o] float32; the last row is what the episode ended in, not the next episode's start.
        terminals: [T] bool, the task ended here: no bootstrap.
        timeouts: [T] bool, the episode was cut here: bootstrap.
        infos: further arrays [T, ...]; ``success`` [T] bool after each action where the environment says so, ``qpos``,
            ``qvel`` float64 and what the reset drew, before each action, where states were recorded;
            ``achieved_goals`` before and ``next_achieved_goals`` after each action and ``desired_goals``, [T, g]
            float32 each, of a goal environment.
        seed: what the environment's reset and the controller were seeded with.

    The last row, and no other, has exactly one of ``terminals`` and ``timeouts`` set.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    next_observations: NDArray[np.float32]
    terminals: NDArray[np.bool_]
    timeouts: NDArray[np.bool_]
    infos: dict[str, NDArray[Any]]
    seed: int

    def __len__(self) -> int:
        return len(self.rewards)


class Controller(Protocol):
    """What acts: a policy, an expert, noise."""

    def reset(self, seed: int) -> None:
        """Forget the past; all randomness of the coming episode follows from the seed."""

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """The action [a] for an observation [o]; may lie outside the bounds, the rollout clips it."""


def episode_seeds(seed: int, n: int) -> list[int]:
    """Seeds of n episodes, in [0, 2**31); the first ones do not depend on n.

    >>> episode_seeds(0, 3) == episode_seeds(0, 5)[:3]
    True
    """
    return [int(word) >> 1 for word in np.random.SeedSequence(seed).generate_state(n, np.uint32)]


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """More threads make a one-row call of a network slower, and its last bits depend on their number."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1
    if torch is None or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def action_bounds(env: gymnasium.Env[Any, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lower and upper bounds of an environment's actions, [a] float32 each, both inside those that float64 tells.

    Raises:
        EnvError: its actions are no vectors of numbers.
    """
    space = env.action_space
    if not isinstance(space, spaces.Box):
        raise EnvError(f"the actions of {env} are {space}", "Vectors of numbers are needed.")
    return inner_bounds(space.low, space.high)


def inner_bounds(low: ArrayLike, high: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bounds [a] as float32, none of them outside those given."""
    wide_low, wide_high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    low, high = wide_low.astype(np.float32), wide_high.astype(np.float32)
    inner_low: NDArray[np.float32] = np.where(low < wide_low, np.nextafter(low, np.float32(np.inf)), low)
    inner_high: NDArray[np.float32] = np.where(high > wide_high, np.nextafter(high, np.float32(-np.inf)), high)
    return inner_low, inner_high


def box_spaces(observation_size: int, low: ArrayLike, high: ArrayLike) -> tuple[spaces.Box, spaces.Box]:
    """Spaces of the observations, unbounded, and of the actions between bounds [a], both float32.

    >>> box_spaces(3, [-1.0, -1.0], [1.0, 1.0])[1]
    Box(-1.0, 1.0, (2,), float32)
    """
    actions = spaces.Box(np.asarray(low, np.float32), np.asarray(high, np.float32), dtype=np.float32)
    return spaces.Box(-np.inf, np.inf, (observation_size,), np.float32), actions
