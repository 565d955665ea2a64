"""Environment steps in rounds of any length; episodes go on from one round to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.episode import action_bounds, one_torch_thread
from awac_tr.envs.make import make_env
from awac_tr.recipes.schema import EnvSection

__all__ = ["Stepper", "Steps"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class _Policy(Protocol):
    def act(self, observation: Floats, noise: Floats) -> Floats: ...


class Steps(NamedTuple):
    """T steps in the order they were taken, episodes one after the other.

    Attributes:
        observations: [T, o] float32.
        actions: [T, a] float32, as executed: clipped to the bounds of the action space.
        rewards: [T] float32.
        next_observations: [T, o] float32; where an episode ended, what it ended in.
        terminated: [T] bool, the task ended here: no bootstrap.
        truncated: [T] bool, the episode was cut here: bootstrap.
        success: [T] bool after each action; None where the environment does not say.
        episodes: [T] int64, one number for each episode of this environment; it goes on in later rounds.
        achieved: [T, g] float32, the goal achieved before each action; g is 0 where there are no goals.
        next_achieved: [T, g] float32, after it. The desired goal is the last g entries of the observation.
    """

    observations: Floats
    actions: Floats
    rewards: Floats
    next_observations: Floats
    terminated: Bools
    truncated: Bools
    success: Bools | None
    episodes: NDArray[np.int64]
    achieved: Floats
    next_achieved: Floats


class Stepper:
    """One environment, stepped in rounds.

    Args:
        env: registered id, or the whole description.
        seed_at: the seed of an episode that begins after so many steps.

    Raises:
        EnvError: as :func:`awac_tr.envs.make.make_env`.
    """

    def __init__(self, env: str | EnvSection, *, seed_at: Callable[[int], int]) -> None:
        self._env = make_env(env)
        self._low, self._high = action_bounds(self._env)
        self._seed_at = seed_at
        self._observation: Floats | None = None
        self._achieved: Floats | None = None
        self._episode = 0

    def take(self, policy: _Policy, noise: Floats, begin: int) -> Steps:
        """One step for each row of noise.

        Args:
            policy: gives an action [a] for an observation [o] and a row of noise.
            noise: [T, a] float32.
            begin: steps taken before this round, from which new episodes get their seeds.

        Raises:
            EnvError: the environment raises, or gives NaN or infinity.
        """
        steps = self._empty(len(noise))
        told = 0
        low, high = self._low, self._high
        with one_torch_thread():
            for row in range(len(noise)):
                observation = self._begin(begin + row) if self._observation is None else self._observation
                action = np.minimum(np.maximum(policy.act(observation, noise[row]), low), high)
                steps.observations[row], steps.actions[row], steps.episodes[row] = observation, action, self._episode
                told += self._step(action, steps, row)
        return steps if told == len(noise) else steps._replace(success=None)

    def _begin(self, step: int) -> Floats:
        """Reset; the first observation [o]."""
        observation, info = self._env.reset(seed=self._seed_at(step))
        self._episode = step
        if self._env.goal_size:
            self._achieved = np.array(info["achieved_goal"], np.float32)  # a copy: it may be written over
        return observation

    def _step(self, action: Floats, steps: Steps, row: int) -> bool:
        """Execute an action [a] and note what came of it; whether the environment told of success."""
        following, reward, terminated, truncated, info = self._env.step(action)
        steps.rewards[row], steps.next_observations[row] = reward, following
        steps.terminated[row], steps.truncated[row] = terminated, truncated
        if self._env.goal_size:
            steps.achieved[row], steps.next_achieved[row] = self._achieved, info["achieved_goal"]
            self._achieved = steps.next_achieved[row]
        self._observation = None if terminated or truncated else following
        if steps.success is None or "success" not in info:
            return False
        steps.success[row] = info["success"]
        return True

    def close(self) -> None:
        """Free the environment."""
        self._env.close()

    def _empty(self, length: int) -> Steps:
        o, a, g = (self._env.observation_space.shape or ())[0], len(self._low), self._env.goal_size
        return Steps(
            observations=np.empty((length, o), np.float32),
            actions=np.empty((length, a), np.float32),
            rewards=np.empty(length, np.float32),
            next_observations=np.empty((length, o), np.float32),
            terminated=np.empty(length, np.bool_),
            truncated=np.empty(length, np.bool_),
            success=np.zeros(length, np.bool_),
            episodes=np.empty(length, np.int64),
            achieved=np.empty((length, g), np.float32),
            next_achieved=np.empty((length, g), np.float32),
        )
