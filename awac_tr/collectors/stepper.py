"""One environment, stepped; what came of it goes into rows of arrays that are there already."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDictBase

from awac_tr import keys
from awac_tr.envs.checked_env import CheckedEnv
from awac_tr.envs.episode import action_bounds
from awac_tr.errors import EnvError
from awac_tr.keys import Key

__all__ = ["TRAJ_IDS", "EpisodeState", "Rows", "Stepper"]

Floats = NDArray[np.float32]

TRAJ_IDS: Key = ("collector", "traj_ids")


class EpisodeState(NamedTuple):
    """Where an environment stands: enough to get there again, in a simulator that repeats itself.

    Attributes:
        failures: episodes in a row that were dropped.
        seed: of the episode under way; None: the next step begins one.
        episode: its number.
        actions: [t, a] float32, executed in it so far.
        observation: [o] float32, where they led.
    """

    failures: int = 0
    seed: int | None = None
    episode: int = 0
    actions: Floats = np.empty((0, 0), np.float32)
    observation: Floats = np.empty(0, np.float32)

    def equals(self, other: EpisodeState) -> bool:
        """Whether both stand at the same step of the same episode."""
        arrays = zip(self[3:], other[3:], strict=True)
        return self[:3] == other[:3] and all(np.array_equal(one, two) for one, two in arrays)

    def to_plain(self) -> dict[str, Any]:
        """Tensors and plain data, for a checkpoint."""
        arrays = {name: torch.from_numpy(getattr(self, name)) for name in ("actions", "observation")}
        return {**self._asdict(), **arrays}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """What :meth:`to_plain` gave; TorchRL's processes make tensors of its numbers."""
        numbers = {name: None if plain[name] is None else int(plain[name]) for name in ("failures", "seed", "episode")}
        return cls(**numbers, actions=plain["actions"].numpy(), observation=plain["observation"].numpy())  # type: ignore[arg-type]


class Rows:
    """The tensors of a rollout [T] as numpy arrays: what is written here stands there."""

    def __init__(self, rollout: TensorDictBase) -> None:
        def array(key: Key) -> Any:
            tensor = rollout.get(key, None)
            return None if tensor is None else tensor.numpy()

        self.observation, self.next_observation = array(keys.OBSERVATION), array(keys.NEXT_OBSERVATION)
        self.action, self.traj_ids = array(keys.ACTION), array(TRAJ_IDS)
        flags = (keys.REWARD, keys.TERMINATED, keys.TRUNCATED, keys.DONE)
        self.reward, self.terminated, self.truncated, self.done = (array(key)[:, 0] for key in flags)
        self.achieved, self.next_achieved = array(keys.ACHIEVED_GOAL), array(keys.NEXT_ACHIEVED_GOAL)
        self.success, self.next_success = array("success"), array(keys.SUCCESS)
        self.told = np.zeros(len(self.reward), np.bool_)


class Stepper:
    """An environment and the episode under way in it.

    Args:
        env: as from :func:`awac_tr.envs.make.make_env`.

    Attributes:
        observation: [o] float32, what the next action is for; None: no episode is under way.
        failures: episodes in a row that were dropped.
        success: what the environment said last; None: nothing.
    """

    def __init__(self, env: CheckedEnv) -> None:
        self.env = env
        self.low, self.high = action_bounds(env)
        self.observation: Floats | None = None
        self.failures = self._episode = 0
        self.success: bool | None = None
        self._seed: int | None = None
        self._achieved: Floats | None = None
        self._taken: list[Floats] = []

    def begin(self, seed: int | None, episode: int) -> None:
        """Reset the environment for the episode of this number; without a seed it follows from the one before."""
        self.observation = None
        observation, info = self.env.reset(seed=seed)
        self._seed, self._episode, self._taken = seed, episode, []
        self._note(info)
        self.observation = observation

    def observe(self, rows: Rows, row: int) -> Floats:
        """The observation [o] to act on; it is written first, since whoever acts may write over it."""
        observation: Any = self.observation
        rows.observation[row] = observation
        return observation  # type: ignore[no-any-return]

    def step(self, action: Floats, rows: Rows, row: int) -> None:
        """Execute an action [a] for the observation of :meth:`observe`, clipped to the bounds, and write the row.

        Raises:
            EnvError: of the environment; or the action is not as many finite numbers as it takes.
        """
        action = np.asarray(action, np.float32)
        # the product is not finite where an entry is not, and rarely otherwise
        finite = math.isfinite(np.vdot(action, action)) or bool(np.isfinite(action).all())
        if action.shape != self.low.shape or not finite:
            wanted = f"{len(self.low)} finite numbers"
            raise EnvError(f"{self.env.place}: the controller gave {action} as an action, not {wanted}")
        action = np.minimum(np.maximum(action, self.low), self.high)
        rows.action[row], rows.traj_ids[row] = action, self._episode
        self._taken.append(action)
        before, achieved = self.success, self._achieved
        following, reward, terminated, truncated, info = self.env.step(action)
        self._note(info)
        rows.next_observation[row], rows.reward[row] = following, reward
        rows.terminated[row], rows.truncated[row] = terminated, truncated
        rows.done[row] = over = terminated or truncated
        rows.told[row] = self.success is not None
        if rows.success is not None:
            rows.success[row], rows.next_success[row] = before or False, self.success or False
        if rows.achieved is not None:
            rows.achieved[row], rows.next_achieved[row] = achieved, self._achieved
        self.observation = None if over else following
        self.failures = 0 if over else self.failures

    @property
    def state(self) -> EpisodeState:
        """Where the environment stands now."""
        if self.observation is None or self._seed is None:
            return EpisodeState(self.failures)
        actions = np.array(self._taken, np.float32).reshape(-1, len(self.low))
        return EpisodeState(self.failures, self._seed, self._episode, actions, self.observation.copy())

    def restore(self, state: EpisodeState) -> bool:
        """Get back to a state, by the same actions from the same seed; False: the next step begins an episode."""
        self.observation, self.failures = None, state.failures
        if state.seed is None:
            return True
        over = False
        try:
            self.begin(state.seed, state.episode)
            for action in state.actions:
                self.observation, _, terminated, truncated, info = self.env.step(action)
                self._note(info)
                over = over or terminated or truncated
        except EnvError:
            over = True
        if over or not np.array_equal(self.observation, state.observation):  # type: ignore[arg-type]
            self.observation = None
            return False
        self._taken = list(state.actions)
        return True

    def _note(self, info: dict[str, Any]) -> None:
        told = info.get("success")
        self.success = None if told is None else bool(told)
        if self.env.goal_size:
            self._achieved = np.array(info["achieved_goal"], np.float32)  # a copy: it may be written over
