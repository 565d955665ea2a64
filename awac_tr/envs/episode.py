"""One episode as arrays, what acts in it, and the loop between the two."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.adroit import AdroitBinaryEnv
from awac_tr.envs.make import horizon_of
from awac_tr.errors import EnvError

__all__ = ["Controller", "Episode", "OnFrame", "episode_seeds", "rollout"]

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
            ``qvel`` float64 and what the reset drew, before each action, where states were recorded.
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
        """The action [a] for an observation [o]; may lie outside the bounds."""


def episode_seeds(seed: int, n: int) -> list[int]:
    """Seeds of n episodes, in [0, 2**31), independent of each other; the first ones do not depend on n.

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
        env: made by :func:`awac_tr.envs.make.make_env`.
        controller: acts; is reset with the seed.
        seed: of the environment's reset and the controller's.
        record_state: keep the simulator's state before each action (MuJoCo environments only).
        on_frame: called with a rendered image after the reset and after every step; needs ``render_mode="rgb_array"``.

    Raises:
        EnvError: the environment raises or gives NaN or infinity, or the controller gives no finite action; the message
            names environment, seed and step.
    """
    recorder = _Recorder(env, seed, record_state, on_frame)
    with _one_torch_thread():
        observation = recorder.start()
        controller.reset(seed)
        while not recorder.over:
            observation = recorder.step(observation, controller.act(observation))
    return recorder.episode()


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """One-row policy calls are slower and not reproducible to the bit with more threads (REFERENCE 4)."""
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
    """Steps one episode of an environment, checks what comes back and fills the arrays."""

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int, record_state: bool, on_frame: OnFrame | None) -> None:
        self._env, self._seed, self._on_frame = env, seed, on_frame
        self._low, self._high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
        self._horizon = horizon_of(env)
        self._record_state = record_state
        self._rows: list[tuple[Any, ...]] = []
        self._success: list[bool] = []
        self._states: list[dict[str, NDArray[np.float64]]] = []
        self.over = False

    def start(self) -> NDArray[np.float32]:
        try:
            observation, info = self._env.reset(seed=self._seed)
        except Exception as error:
            raise self._trouble(f"reset raised {type(error).__name__}: {error}") from error
        self._check(observation, 0.0)
        self._frame(float("nan"), info.get("success"))
        return observation

    def step(self, observation: NDArray[np.float32], action: NDArray[np.float32]) -> NDArray[np.float32]:
        executed = self._executed(action)
        if self._record_state:
            self._states.append(_simulator_state(self._env))
        try:
            following, reward, terminated, truncated, info = self._env.step(executed)
        except Exception as error:
            raise self._trouble(f"step raised {type(error).__name__}: {error}") from error
        self._check(following, reward)
        truncated = (truncated or len(self._rows) + 1 >= self._horizon) and not terminated
        self._rows.append((observation, executed, reward, following, terminated, truncated))
        if "success" in info:
            self._success.append(bool(info["success"]))
        self._frame(float(reward), info.get("success"))
        self.over = bool(terminated or truncated)
        return following

    def episode(self) -> Episode:
        columns = list(zip(*self._rows, strict=True))
        infos: dict[str, NDArray[Any]] = {}
        if self._success:
            infos["success"] = np.array(self._success)
        for name in self._states[0] if self._states else ():
            infos[name] = np.stack([state[name] for state in self._states])
        return Episode(
            observations=np.stack(columns[0]),
            actions=np.stack(columns[1]),
            rewards=np.array(columns[2], np.float32),
            next_observations=np.stack(columns[3]),
            terminals=np.array(columns[4], np.bool_),
            timeouts=np.array(columns[5], np.bool_),
            infos=infos,
            seed=self._seed,
        )

    def _executed(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        given = np.asarray(action, np.float32)
        if given.shape != self._low.shape or not np.isfinite(given).all():
            raise self._trouble(f"the controller gave no finite action of shape {self._low.shape}: {given}")
        clipped: NDArray[np.float32] = np.clip(given, self._low, self._high)
        return clipped

    def _check(self, observation: NDArray[np.float32], reward: Any) -> None:
        if not np.isfinite(observation).all():
            raise self._trouble(f"observation has NaN or infinity at {np.flatnonzero(~np.isfinite(observation))}")
        if not np.isfinite(reward):
            raise self._trouble(f"reward is {reward}")

    def _trouble(self, what: str) -> EnvError:
        name = self._env.spec.id if self._env.spec else str(self._env)
        return EnvError(f"{name}, episode seed {self._seed}, step {len(self._rows)}: {what}")

    def _frame(self, reward: float, success: Any) -> None:
        if self._on_frame is not None:
            frame = self._env.render()
            self._on_frame(frame, len(self._rows), reward, None if success is None else bool(success))  # type: ignore[arg-type]


def _simulator_state(env: gymnasium.Env[Any, Any]) -> dict[str, NDArray[np.float64]]:
    """qpos, qvel and what the reset drew: what a replay or a picture needs."""
    base = env.unwrapped
    if isinstance(base, AdroitBinaryEnv):
        return base.get_pose()
    data = getattr(base, "data", None)
    if data is None or not hasattr(data, "qpos"):
        raise EnvError(f"{env.spec.id if env.spec else env} has no MuJoCo state to record")
    return {"qpos": data.qpos.copy(), "qvel": data.qvel.copy()}
