"""The wrapper around every environment: float32 out, and one kind of error, which says where it happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from awac_tr.errors import AwacError, EnvError

__all__ = ["CheckedEnv", "name_of"]

_ROUNDING: Final = 1e-5
"""By how much a reward may pass its range: a few roundings of float32; validation of files allows the same."""


def name_of(env: gymnasium.Env[Any, Any]) -> str:
    """For messages: the registered id, or the name of the class."""
    return env.spec.id if env.spec else type(env.unwrapped).__name__


class CheckedEnv(gymnasium.Wrapper[NDArray[np.float32], NDArray[np.float32], Any, Any], RecordConstructorArgs):
    """Casts observations to float32; raises :class:`EnvError` where the environment raises or returns NaN or infinity.

    A NaN that got into a replay buffer spoils a run hours later; here it still has an environment, a seed and a step.

    Args:
        env: an environment with vector observations.
        reward_range: smallest and largest reward that it promises; None: any.

    Attributes:
        goal_size: of a goal environment, how many of the last observation entries are the goal; else 0.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], reward_range: Sequence[float] | None = None) -> None:
        RecordConstructorArgs.__init__(self, reward_range=reward_range and list(reward_range))
        gymnasium.Wrapper.__init__(self, env)
        self._range = reward_range
        space = env.observation_space
        if not isinstance(space, spaces.Box):
            raise EnvError(f"the observations of {name_of(env)} are {space}", "Vectors of numbers are needed.")
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
        self.observation_space = spaces.Box(low, high, space.shape, np.float32)
        self.observation_shape = space.shape
        self.goal_size: int = env.get_wrapper_attr("goal_size") if env.has_wrapper_attr("goal_size") else 0
        self._seed: int | None = None
        self._episodes = 0
        self.steps = 0

    @property
    def place(self) -> str:
        """Environment, seed and step as they stand now, for messages."""
        since = f" and {self._episodes} more resets" if self._episodes else ""
        return f"{name_of(self.env)}, episode seed {self._seed}{since}, step {self.steps}"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; observation [o] float32, info.

        Raises:
            EnvError: the environment raises, or the observation is not finite.
        """
        self._episodes = 0 if seed is not None else self._episodes + 1
        self._seed = seed if seed is not None else self._seed
        self.steps = 0
        try:
            observation, info = self.env.reset(seed=seed, options=options)
        except Exception as error:
            raise self._raised(error) from error
        return self._checked(observation), self._told(info)

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step: observation [o] float32, reward, terminated, truncated, info.

        Raises:
            EnvError: the environment raises, observation or reward is not finite, or the reward leaves its range.
        """
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except Exception as error:
            raise self._raised(error) from error
        checked, reward = self._checked(observation), float(reward)
        if not np.isfinite(reward):
            raise EnvError(f"{self.place}: the reward is {reward}")
        if self._range is not None and not self._range[0] - _ROUNDING <= reward <= self._range[1] + _ROUNDING:
            hint = "Correct env.reward_range, or the reward."
            raise EnvError(f"{self.place}: the reward {reward:g} is outside env.reward_range {[*self._range]}", hint)
        self.steps += 1
        return checked, reward, bool(terminated), bool(truncated), self._told(info)

    @staticmethod
    def _told(info: dict[str, Any]) -> dict[str, Any]:
        """Some packages call success ``is_success``."""
        return {**info, "success": info["is_success"]} if "is_success" in info and "success" not in info else info

    def _checked(self, observation: Any) -> NDArray[np.float32]:
        # A copy even of float32: some environments hand out one array again and again.
        checked: NDArray[np.float32] = np.array(observation, np.float32)
        if not np.isfinite(checked).all():
            where = np.flatnonzero(~np.isfinite(checked)).tolist()
            raise EnvError(f"{self.place}: the observation has NaN or infinity at {where}")
        return checked

    def _raised(self, error: Exception) -> EnvError:
        said = error.message if isinstance(error, AwacError) else f"{type(error).__name__}: {error}"
        return EnvError(f"{self.place}: {said}")
