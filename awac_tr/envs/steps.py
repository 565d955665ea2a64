"""Environment steps in rounds of any length; episodes go on from one round to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.episode import action_bounds, one_torch_thread
from awac_tr.envs.make import make_env
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

__all__ = ["FAILURES", "Place", "Stepper", "Steps"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

FAILURES: Final = 3
"""Episodes in a row after which it is no accident."""


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
        dropped: why episodes were dropped, one message each.
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
    dropped: tuple[str, ...] = ()


class Place(NamedTuple):
    """Where an environment stands: enough to get there again, in a simulator that repeats itself.

    Attributes:
        failures: episodes in a row that were dropped.
        seed: of the episode under way; None: the next step begins one.
        episode: its number, the steps taken before it.
        actions: [t, a] float32, executed in it so far.
        observation: [o] float32, where they led.
    """

    failures: int
    seed: int | None
    episode: int
    actions: Floats
    observation: Floats


class Stepper:
    """One environment, stepped in rounds.

    An episode in which the environment fails is dropped, as far as it belongs to the round, and another one, with
    another seed, takes its steps.

    Args:
        env: registered id, or the whole description.
        seed_at: the seed of an episode that begins after so many steps, when so many before it have failed in a row.

    Raises:
        EnvError: as :func:`awac_tr.envs.make.make_env`.
    """

    def __init__(self, env: str | EnvSection, *, seed_at: Callable[[int, int], int]) -> None:
        self._env = make_env(env)
        self._low, self._high = action_bounds(self._env)
        self._seed_at = seed_at
        self._observation: Floats | None = None
        self._achieved: Floats | None = None
        self._episode = self._seed = self._failures = 0
        self._taken: list[Floats] = []

    @property
    def place(self) -> Place:
        """Where the environment stands now."""
        if self._observation is None:
            nowhere = np.empty((0, len(self._low)), np.float32)
            return Place(self._failures, None, 0, nowhere, np.empty(0, np.float32))
        return Place(self._failures, self._seed, self._episode, np.stack(self._taken), self._observation.copy())

    def take_up(self, place: Place) -> bool:
        """Get back to a place, by the same actions from the same seed.

        Returns:
            Whether the environment is there; if not, its next step begins an episode.
        """
        self._failures = place.failures
        if place.seed is None:
            return True
        try:
            with one_torch_thread():
                reached = self._reset(place.seed, place.episode)
                for action in place.actions:
                    reached, _, terminated, truncated, info = self._env.step(action)
                    self._note_goal(info)
        except EnvError:
            return False
        if terminated or truncated or not np.array_equal(reached, place.observation):
            return False
        self._observation, self._taken = reached, list(place.actions)
        return True

    def take(self, policy: _Policy, noise: Floats, begin: int) -> Steps:
        """One step for each row of noise.

        Args:
            policy: gives an action [a] for an observation [o] and a row of noise.
            noise: [T, a] float32.
            begin: steps taken before this round, from which new episodes get their seeds.

        Raises:
            EnvError: episodes failed again and again: the environment raises, or gives NaN or infinity.
        """
        steps, told = self._empty(len(noise)), np.zeros(len(noise), np.bool_)
        dropped: list[str] = []
        row = first = 0
        with one_torch_thread():
            while row < len(noise):
                try:
                    if self._observation is None:
                        first, self._observation = row, self._begin(begin + row)
                    told[row] = self._step(policy, noise[row], steps, row)
                except EnvError as error:
                    row = first
                    self._drop(error, dropped)
                else:
                    row += 1
        return steps._replace(success=steps.success if told.all() else None, dropped=tuple(dropped))

    def _begin(self, step: int) -> Floats:
        """Start the episode of a step; the first observation [o]."""
        return self._reset(self._seed_at(step, self._failures), step)

    def _reset(self, seed: int, episode: int) -> Floats:
        observation, info = self._env.reset(seed=seed)
        self._seed, self._episode, self._taken = seed, episode, []
        self._note_goal(info)
        return observation

    def _note_goal(self, info: dict[str, Any]) -> None:
        if self._env.goal_size:
            self._achieved = np.array(info["achieved_goal"], np.float32)  # a copy: it may be written over

    def _drop(self, error: EnvError, dropped: list[str]) -> None:
        """Forget an episode in which the environment failed."""
        self._observation = None
        self._failures += 1
        if self._failures > FAILURES:
            raise EnvError(f"{self._failures} episodes in a row failed; the last: {error.message}", error.hint)
        dropped.append(error.message)

    def _step(self, policy: _Policy, noise: Floats, steps: Steps, row: int) -> bool:
        """Act, and note what came of it; whether the environment told of success."""
        observation: Any = self._observation
        action = np.minimum(np.maximum(policy.act(observation, noise), self._low), self._high)
        steps.observations[row], steps.actions[row], steps.episodes[row] = observation, action, self._episode
        self._taken.append(action)
        following, reward, terminated, truncated, info = self._env.step(action)
        steps.rewards[row], steps.next_observations[row] = reward, following
        steps.terminated[row], steps.truncated[row] = terminated, truncated
        if self._env.goal_size:
            steps.achieved[row] = self._achieved
            self._note_goal(info)
            steps.next_achieved[row] = self._achieved
        if steps.success is not None:
            steps.success[row] = info.get("success", False)
        over = terminated or truncated
        self._observation = None if over else following
        self._failures = 0 if over else self._failures
        return "success" in info

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
