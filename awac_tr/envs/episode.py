"""One episode as arrays, what acts in it, and the loop between the two."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from awac_tr.envs.guard import Guarded
from awac_tr.envs.make import horizon_of
from awac_tr.envs.state import pose_of
from awac_tr.errors import EnvError

__all__ = ["Controller", "Episode", "OnFrame", "action_bounds", "episode_seeds", "one_torch_thread", "rollout"]

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


def rollout(
    env: gymnasium.Env[Any, Any],
    controller: Controller,
    seed: int,
    *,
    record_state: bool = False,
    on_frame: OnFrame | None = None,
) -> Episode:
    """Run one episode to its end, with one intra-op thread of torch where torch is loaded.

    Args:
        env: as from :func:`awac_tr.envs.make.make_env`.
        controller: acts; is reset with the seed.
        seed: of the environment's reset and the controller's.
        record_state: keep the simulator's state before each action (MuJoCo environments only).
        on_frame: called with a rendered image after the reset and after every step; needs ``render_mode="rgb_array"``.

    Raises:
        EnvError: the environment has no horizon, raises, or gives NaN or infinity, or the controller gives no finite
            action; the message names environment, seed and step.
    """
    recorder = _Recorder(env, seed, record_state=record_state, on_frame=on_frame)
    with one_torch_thread():
        observation = recorder.start()
        controller.reset(seed)
        while not recorder.over:
            observation = recorder.step(controller.act(observation))
    return recorder.episode()


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


class _Recorder:
    """Steps an environment through one episode and fills the arrays."""

    def __init__(
        self, env: gymnasium.Env[Any, Any], seed: int, *, record_state: bool, on_frame: OnFrame | None
    ) -> None:
        self._env = env if isinstance(env, Guarded) else Guarded(env)
        self._bounds = action_bounds(env)
        self._seed, self._record_state, self._on_frame = seed, record_state, on_frame
        horizon = horizon_of(env)
        self._observations = np.empty((horizon + 1, *self._env.observation_shape), np.float32)
        self._actions = np.empty((horizon, *self._bounds[0].shape), np.float32)
        self._rewards = np.empty(horizon, np.float32)
        self._achieved = np.empty((horizon + 1, self._env.goal_size), np.float32)
        self._success: list[bool] = []
        self._states: list[dict[str, NDArray[np.float64]]] = []
        self._length, self._terminated, self.over = 0, False, False

    def start(self) -> NDArray[np.float32]:
        """Reset; the first observation [o]."""
        observation, info = self._env.reset(seed=self._seed)
        self._observations[0] = observation
        self._note_goal(0, info)
        self._show(float("nan"), info.get("success"))
        return observation

    def step(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Execute an action [a]; the next observation [o]."""
        row, executed = self._length, self._executed(action)
        if self._record_state:
            self._states.append(pose_of(self._env))
        observation, reward, self._terminated, truncated, info = self._env.step(executed)
        self._actions[row], self._rewards[row], self._observations[row + 1] = executed, reward, observation
        self._note_goal(row + 1, info)
        if "success" in info:
            self._success.append(bool(info["success"]))
        self._length = row + 1
        self.over = self._terminated or truncated
        self._show(reward, info.get("success"))
        return observation

    def episode(self) -> Episode:
        """What was recorded."""
        length = self._length
        ends = np.arange(length) == length - 1
        infos: dict[str, NDArray[Any]] = {}
        if len(self._success) == length:
            infos["success"] = np.array(self._success)
        for name in self._states[0] if self._states else ():
            infos[name] = np.stack([state[name] for state in self._states])
        if size := self._env.goal_size:
            infos["achieved_goals"] = self._achieved[:length].copy()
            infos["next_achieved_goals"] = self._achieved[1 : length + 1].copy()
            infos["desired_goals"] = self._observations[:length, -size:].copy()
        return Episode(
            observations=self._observations[:length].copy(),
            actions=self._actions[:length].copy(),
            rewards=self._rewards[:length].copy(),
            next_observations=self._observations[1 : length + 1].copy(),
            terminals=ends & self._terminated,
            timeouts=ends & (not self._terminated),
            infos=infos,
            seed=self._seed,
        )

    def _note_goal(self, row: int, info: dict[str, Any]) -> None:
        if self._env.goal_size:
            self._achieved[row] = info["achieved_goal"]

    def _executed(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        low, high = self._bounds
        given = np.asarray(action, np.float32)
        if given.shape != low.shape or not np.isfinite(given).all():
            wanted = f"{low.shape[0]} finite numbers"
            raise EnvError(f"{self._env.place}: the controller gave {given} as an action, not {wanted}")
        return np.clip(given, low, high)

    def _show(self, reward: float, success: Any) -> None:
        if self._on_frame is not None:
            picture: Any = self._env.render()
            self._on_frame(picture, self._length, reward, None if success is None else bool(success))


def action_bounds(env: gymnasium.Env[Any, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lower and upper bounds of an environment's actions, [a] float32 each.

    Raises:
        EnvError: its actions are no vectors of numbers.
    """
    space = env.action_space
    if not isinstance(space, spaces.Box):
        raise EnvError(f"the actions of {env} are {space}", "Vectors of numbers are needed.")
    return space.low.astype(np.float32), space.high.astype(np.float32)
