"""An episode while it is being played by somebody else: rows come in one by one, its length is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.episode import Episode

__all__ = ["GoalTrack", "Track"]


class GoalTrack:
    """Goals of an episode of a goal environment; of any other there are none.

    Args:
        env: as the recorder is given it; ``goal_size`` says how many of the last observation entries are the goal.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._size: int = env.get_wrapper_attr("goal_size") if env.has_wrapper_attr("goal_size") else 0
        self._achieved = self._desired = np.empty(0, np.float32)

    def begin(self, observation: Any, info: Mapping[str, Any]) -> None:
        """A reset: the first observation [o]."""
        if self._size:
            self._note(observation, info)

    def step(self, observation: Any, info: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        """The goals of a step into this observation [o], by the names of :class:`Episode`, [g] each."""
        if not self._size:
            return {}
        before, desired = self._achieved, self._desired
        self._note(observation, info)
        return {"achieved_goals": before, "next_achieved_goals": self._achieved, "desired_goals": desired}

    def _note(self, observation: Any, info: Mapping[str, Any]) -> None:
        self._achieved = np.array(info["achieved_goal"], np.float32)
        self._desired = np.array(observation[-self._size :], np.float32)


class Track:
    """Collects the steps of one episode.

    Args:
        observation: the first, [o].
        seed: of the reset, -1 where unknown.
    """

    def __init__(self, observation: NDArray[np.float32], seed: int) -> None:
        self._observations = [observation]
        self._actions: list[NDArray[np.float32]] = []
        self._rewards: list[float] = []
        self._infos: list[Mapping[str, Any]] = []
        self._seed = seed

    @property
    def steps(self) -> int:
        """So far."""
        return len(self._rewards)

    @property
    def finite(self) -> bool:
        """No NaN and no infinity in the last step."""
        numbers = (self._actions[-1], self._observations[-1], self._rewards[-1])
        return all(bool(np.isfinite(values).all()) for values in numbers)

    def add(self, action: NDArray[np.float32], reward: Any, observation: Any, infos: Mapping[str, Any]) -> None:
        """A step: the action [a] as executed, and what came of it."""
        # Copies: some environments hand out one array again and again.
        self._actions.append(np.array(action, np.float32))
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is asked for next
            self._observations.append(np.array(observation, np.float32))
            self._rewards.append(float(np.asarray(reward, np.float32).reshape(())))
        self._infos.append(infos)

    def drop_last(self) -> None:
        """Forget the last step, if there is one."""
        if self.steps:
            for values in (self._actions, self._rewards, self._infos, self._observations):
                values.pop()

    def episode(self, *, terminated: bool) -> Episode:
        """The whole, ended by the task or cut; infos that are missing at some step are left out."""
        states, steps = np.stack(self._observations), self.steps
        last = np.arange(steps) == steps - 1
        names = set(self._infos[0]).intersection(*self._infos)
        return Episode(
            observations=states[:-1],
            actions=np.stack(self._actions),
            rewards=np.array(self._rewards, np.float32),
            next_observations=states[1:],
            terminals=last & terminated,
            timeouts=last & (not terminated),
            infos={name: np.stack([np.asarray(info[name]) for info in self._infos]) for name in sorted(names)},
            seed=self._seed,
        )
