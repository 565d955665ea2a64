"""A point that walks to a goal, as a goal environment; a module of its own, for processes to import."""

from __future__ import annotations

from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

NEAR: Final = 0.15
STEP: Final = 0.2

Floats = NDArray[Any]


class PlainPoint(gymnasium.Env[Any, Any]):
    """The reward is 0 near the goal and -1 elsewhere; only time ends an episode."""

    def __init__(self, goal: tuple[float, float] | None = None) -> None:
        where = gymnasium.spaces.Box(-2, 2, (2,), np.float64)
        state = gymnasium.spaces.Box(-2, 2, (3,), np.float64)
        parts: dict[str, gymnasium.Space[Any]] = {"observation": state, "achieved_goal": where, "desired_goal": where}
        self.observation_space = gymnasium.spaces.Dict(parts)
        self.action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self._fixed = None if goal is None else np.array(goal)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._at = self.np_random.uniform(-0.5, 0.5, 2)
        self._goal = self.np_random.uniform(-0.7, 0.7, 2) if self._fixed is None else self._fixed
        return self._parts(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._at += STEP * np.asarray(action)  # in place: what was handed out before must have been copied
        np.clip(self._at, -1, 1, out=self._at)
        reward = float(self.compute_reward(self._at, self._goal, {}))
        return self._parts(), reward, self._ended(reward), False, {"is_success": reward == 0}

    def compute_reward(self, achieved: Floats, desired: Floats, _info: Any) -> Floats:
        reward: Floats = -(np.linalg.norm(achieved - desired, axis=-1) > NEAR).astype(np.float64)
        return reward

    def _ended(self, _reward: float) -> bool:
        return False

    def _parts(self) -> dict[str, Floats]:
        state = np.append(self._at, np.abs(self._at).sum())
        return {"observation": state, "achieved_goal": self._at, "desired_goal": self._goal}


class GoalPoint(PlainPoint):
    """The same, over at the goal, so episodes differ in length; it says how goals are drawn and what ends a task."""

    def compute_terminated(self, achieved: Floats, desired: Floats, info: Any) -> Floats:
        ended: Floats = self.compute_reward(achieved, desired, info) == 0
        return ended

    def sample_goals(self, count: int, rng: np.random.Generator) -> Floats:
        return rng.uniform(-0.7, 0.7, (count, 2))

    def _ended(self, reward: float) -> bool:
        return reward == 0


gymnasium.register("GoalPoint-v0", f"{__name__}:GoalPoint", max_episode_steps=30)
gymnasium.register("PlainPoint-v0", f"{__name__}:PlainPoint", max_episode_steps=30)
