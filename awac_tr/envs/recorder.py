"""A wrapper that hands on every episode played through it, whoever plays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.checked_env import name_of
from awac_tr.envs.env_spec import env_record
from awac_tr.envs.episode import Episode, action_bounds
from awac_tr.envs.state import has_pose, pose_of
from awac_tr.errors import EnvError

__all__ = ["EpisodeRecorder", "RecordCounts"]

_LOG = logging.getLogger(__name__)
_SUCCESS: Final = ("success", "is_success")

OnEpisode = Callable[[Episode], None]
OnClose = Callable[["BaseException | None"], None]


@dataclass
class RecordCounts:
    """What a recorder saw.

    Attributes:
        episodes: handed on.
        steps: in them.
        cut: of those episodes, the ones that something else than the environment ended.
        spoiled: episodes with NaN or infinity: cut before it, the rest left out.
        clipped: action entries that were outside the bounds.
    """

    episodes: int = 0
    steps: int = 0
    cut: int = 0
    spoiled: int = 0
    clipped: int = 0


class EpisodeRecorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Records what is played: observations and rewards as float32, actions as they are executed.

    Observations, rewards and infos reach the player untouched. Actions are rounded to float32 and clipped to the
    bounds before they are executed, so that what is stored is what was done. An episode that is left before its end, by
    a reset, by closing or by an exception, is handed on up to there as cut (a timeout). From a number that is none on,
    the rest of an episode is left out.

    Args:
        env: any environment with vectors as observations and real vectors as actions; need not be registered.
        on_episode: called with each episode as it ends.
        on_close: called once, with what ended the ``with`` block, or None.
        infos: names in ``info`` to keep after each step, numbers or bools of a fixed shape; ``success`` (or
            ``is_success``) is kept in any case, and so are the goals of a goal environment as
            :func:`awac_tr.envs.make.make_env` makes it.
        record_state: keep MuJoCo's state before each action; None: where there is one.

    Raises:
        EnvError: observations or actions of another kind; no MuJoCo state where one is asked for.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        on_episode: OnEpisode,
        on_close: OnClose | None = None,
        *,
        infos: Sequence[str] = (),
        record_state: bool | None = None,
    ) -> None:
        env_record(env)  # refuses what cannot be recorded
        self._name = name_of(env)
        super().__init__(env)
        self.action_low, self.action_high = action_bounds(env)
        self.counts = RecordCounts()
        self._kind: Any = env.action_space.dtype
        self._on_episode, self._on_close = on_episode, on_close
        self._info_names = tuple(infos)
        self._record_state = has_pose(env) if record_state is None else record_state
        if self._record_state:
            pose_of(env)  # says now, not at the first step, where there is none
        self._track: _Track | None = None
        self._has_goals = env.has_wrapper_attr("goal_size") and bool(env.get_wrapper_attr("goal_size"))
        self._playing = self._closed = False
        self._has_success: bool | None = None
        self._said: set[str] = set()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's; an episode that has not ended is cut before."""
        self._cut("a reset")
        observation, info = self.env.reset(seed=seed, options=options)
        # With options, the seed alone does not lead back to this start.
        known = seed if seed is not None and not options else -1
        start = np.array(observation, np.float32)
        self._track = _Track(start, known, self._achieved(info))
        self._playing = True
        if not np.isfinite(start).all():
            self._spoil()
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's, with the action clipped to the bounds.

        Raises:
            EnvError: there was no reset since the start or the last end; the action has another shape; an info that
                was to be kept is missing.
        """
        if not self._playing:
            hint = "Call reset() first. An environment that resets itself goes around the recorder, not into it."
            raise EnvError(f"{self._name}: a step outside of an episode", hint)
        executed = self._executed(action)
        pose = pose_of(self.env) if self._record_state and self._track is not None else {}
        observation, reward, terminated, truncated, info = self.env.step(executed.astype(self._kind))
        self._playing = not (terminated or truncated)
        if self._track is not None:
            self._track.add(executed, reward, observation, pose | self._kept(info), self._achieved(info))
            if not self._track.finite:
                self._spoil()
            elif not self._playing:
                self._hand_on(terminated=bool(terminated))
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Cut an episode that has not ended, say that it is over, and close the environment."""
        self._close(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._close(error)
        return False

    def _close(self, error: BaseException | None) -> None:
        if self._closed:
            return
        self._closed, self._playing = True, False
        try:
            self._cut("the end of the recording" if error is None else type(error).__name__)
        except BaseException as problem:
            error = problem
            raise
        finally:
            try:
                if self._on_close is not None:
                    self._on_close(error)
            finally:
                self.env.close()

    def _executed(self, action: Any) -> NDArray[np.float32]:
        given = np.asarray(action)
        if given.shape != self.action_low.shape or given.dtype.kind not in "fiub":
            wanted = f"{len(self.action_low)} numbers"
            raise EnvError(f"{self._name}: an action of {given.dtype} and shape {given.shape}, not {wanted}")
        executed = given.astype(np.float32)
        if given.dtype != np.float32 and (executed != given).any():
            self._say("rounding", "%s: actions are rounded to float32, executed and recorded so", self._name)
        clipped = np.clip(executed, self.action_low, self.action_high)
        outside = int((clipped != executed).sum() - np.isnan(executed).sum())
        if outside:
            self.counts.clipped += outside
            self._say("clipping", "%s: actions outside the bounds are clipped, executed and recorded so", self._name)
        return clipped

    def _kept(self, info: dict[str, Any]) -> dict[str, Any]:
        told = [info[name] for name in _SUCCESS if name in info]
        kept: dict[str, Any] = {"success": bool(told[0])} if told else {}
        for name in self._info_names:
            value = np.asarray(info.get(name))
            if value.dtype.kind not in "fiub":
                raise EnvError(f"{self._name}: info {name!r} holds {info.get(name)!r}, not numbers", "It is in infos=.")
            kept[name] = value if value.dtype == bool else value.astype(np.float64)
        return kept

    def _achieved(self, info: dict[str, Any]) -> NDArray[np.float32] | None:
        """The goal achieved, [g]; None: this is no goal environment."""
        return np.array(info["achieved_goal"], np.float32) if self._has_goals else None

    def _spoil(self) -> None:
        """Something is NaN or infinite: keep what was before."""
        track = self._track
        if track is None:
            return
        self.counts.spoiled += 1
        _LOG.warning(
            "%s: NaN or infinity at step %d of episode %d: what follows in this episode is left out",
            self._name, track.steps, self.counts.episodes,
        )  # fmt: skip
        track.drop_last()
        self._cut("NaN or infinity")

    def _cut(self, reason: str) -> None:
        track = self._track
        if track is None or not track.steps:
            self._track = None
            return
        self.counts.cut += 1
        _LOG.info("%s: episode %d cut after %d steps by %s", self._name, self.counts.episodes, track.steps, reason)
        self._hand_on(terminated=False)

    def _hand_on(self, *, terminated: bool) -> None:
        track, self._track = self._track, None
        if track is None:
            return
        episode = track.episode(terminated=terminated)
        self._agree_on_success(episode)
        self.counts.episodes += 1
        self.counts.steps += len(episode)
        self._on_episode(episode)

    def _agree_on_success(self, episode: Episode) -> None:
        """All episodes of a recording have success or none has: the first one decides."""
        infos = episode.infos
        if self._has_success is None:
            self._has_success = "success" in infos
        if self._has_success and "success" not in infos:
            infos["success"] = np.zeros(len(episode), bool)
            _LOG.warning("%s: episode %d does not say success; taken for none", self._name, self.counts.episodes)
        elif not self._has_success and infos.pop("success", None) is not None:
            self._say("success", "%s: success is left out, the first episode did not say it at every step", self._name)

    def _say(self, topic: str, message: str, *values: object) -> None:
        if topic not in self._said:
            self._said.add(topic)
            _LOG.info(message, *values)


class _Track:
    """The steps of one episode, whose length nobody knows yet."""

    def __init__(self, observation: NDArray[np.float32], seed: int, achieved: NDArray[np.float32] | None) -> None:
        self._observations, self._achieved = [observation], [achieved]
        self._actions: list[NDArray[np.float32]] = []
        self._rewards: list[float] = []
        self._infos: list[Mapping[str, Any]] = []
        self._seed = seed

    @property
    def steps(self) -> int:
        return len(self._rewards)

    @property
    def finite(self) -> bool:
        numbers = (self._actions[-1], self._observations[-1], self._rewards[-1])
        return all(bool(np.isfinite(values).all()) for values in numbers)

    def add(
        self,
        action: NDArray[np.float32],
        reward: Any,
        observation: Any,
        infos: Mapping[str, Any],
        achieved: NDArray[np.float32] | None,
    ) -> None:
        """A step: the action [a] as executed, and what came of it."""
        # Copies: some environments hand out one array again and again.
        self._actions.append(np.array(action, np.float32))
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is asked for next
            self._observations.append(np.array(observation, np.float32))
            self._rewards.append(float(np.asarray(reward, np.float32).reshape(())))
        self._infos.append(infos)
        self._achieved.append(achieved)

    def drop_last(self) -> None:
        if self.steps:
            for values in (self._actions, self._rewards, self._infos, self._observations, self._achieved):
                values.pop()

    def episode(self, *, terminated: bool) -> Episode:
        """The whole, ended by the task or cut; infos that are missing at some step are left out."""
        states, steps = np.stack(self._observations), self.steps
        last = np.arange(steps) == steps - 1
        names = set(self._infos[0]).intersection(*self._infos)
        infos = {name: np.stack([np.asarray(info[name]) for info in self._infos]) for name in sorted(names)}
        return Episode(
            observations=states[:-1],
            actions=np.stack(self._actions),
            rewards=np.array(self._rewards, np.float32),
            next_observations=states[1:],
            terminals=last & terminated,
            timeouts=last & (not terminated),
            infos=infos | self._goals(states),
            seed=self._seed,
        )

    def _goals(self, states: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        achieved = [goal for goal in self._achieved if goal is not None]
        if not achieved:
            return {}
        goals, desired = np.stack(achieved), states[:-1, -len(achieved[0]) :]
        return {"achieved_goals": goals[:-1], "next_achieved_goals": goals[1:], "desired_goals": desired}
