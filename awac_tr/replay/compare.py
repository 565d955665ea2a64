"""Play one episode's actions and measure where and how far the simulator departs from the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from awac_tr.envs.episode import Episode
from awac_tr.envs.state import has_pose, pose_of, set_pose
from awac_tr.errors import EnvError
from awac_tr.replay.start import StartKind, begin

__all__ = ["EpisodeReplay", "Played", "replay_episode"]

Array = np.ndarray[Any, Any]
OnStep = Callable[[int, float, "bool | None", float], None]
"""Called at the start and after each step: steps done, reward (nan at first), success, largest difference of state."""

_TENTHS: Final = 10


@dataclass(frozen=True)
class EpisodeReplay:
    """What became of one episode; steps and rows count from 0, differences are absolute.

    Attributes:
        index: number of the episode in the file.
        seed: its seed, -1 where it has none.
        steps: recorded steps.
        played: steps that could be played; fewer where the simulator failed or ended the episode.
        start: how it was begun.
        seed_error: largest difference between the reset with its seed and the recorded start; None without a seed.
        start_error: largest difference of the first observation from where it was begun.
        first_difference: first state that differs in any bit; state 0 is the start, state t that after t steps.
        first_departure: first state that differs by more than the tolerance.
        state_error: largest difference of any state.
        error_growth: largest difference so far after each tenth of the episode.
        reward_error: largest difference of a reward.
        first_reward_departure: first step whose reward differs by more than the tolerance.
        reward_departures: number of those steps.
        reward_shift: -1 or 1 where the rewards agree when moved by a step, as recorders do that store the wrong row's;
            0 otherwise.
        last_reward_agrees: the last reward agrees.
        return_recorded: sum of the rewards in the file, over the steps played.
        return_replayed: the same in the simulator.
        success_recorded: the goal was reached at any step; None where that is not recorded.
        success_replayed: the same in the simulator; None where it does not say.
        success_departures: steps at which the two disagree.
        end: "as recorded", "simulator ends the episode at step N", "simulator does not end the episode".
        pose_error: largest difference of a recorded simulator state (``infos/qpos`` ...) from the simulator's.
        first_pose_departure: first step before which that is more than the tolerance.
        rows_checked: rows replayed each from its own recorded state; 0 where no states are recorded, or where the
            episode came out as recorded anyway.
        row_departures: those whose next observation, reward or success then differ by more than the tolerance, or
            whose observation is not where the row before led.
        row_error: largest difference of an observation or a reward in any of them.
        problem: why it could not be played, or not to its end.
    """

    index: int
    seed: int
    steps: int
    played: int
    start: StartKind
    seed_error: float | None
    start_error: float = 0.0
    first_difference: int | None = None
    first_departure: int | None = None
    state_error: float = 0.0
    error_growth: list[float] = field(default_factory=list)
    reward_error: float = 0.0
    first_reward_departure: int | None = None
    reward_departures: int = 0
    reward_shift: int = 0
    last_reward_agrees: bool = True
    return_recorded: float = 0.0
    return_replayed: float = 0.0
    success_recorded: bool | None = None
    success_replayed: bool | None = None
    success_departures: int = 0
    end: str = "as recorded"
    pose_error: float = 0.0
    first_pose_departure: int | None = None
    rows_checked: int = 0
    row_departures: list[int] = field(default_factory=list)
    row_error: float = 0.0
    problem: str = ""

    @property
    def possible(self) -> bool:
        """There was a start to play it from."""
        return self.start != "none"

    @property
    def exact(self) -> bool:
        """Every state, reward and success came out the same to the last bit."""
        differences = (self.first_difference or 0, self.reward_error, self.pose_error)
        return self.agrees and self.follows and self.first_difference is None and not any(differences)

    @property
    def agrees(self) -> bool:
        """Start and end, and states, rewards and success came out as recorded, played through or row by row."""
        sound = self.possible and not self.problem and self.end == "as recorded" and not self.seed_departs
        return sound and (self.follows or (self.rows_checked > 0 and not self.row_departures))

    @property
    def follows(self) -> bool:
        """Played through from the start, states, rewards and success stay within the tolerance."""
        states = self.first_departure is None and self.first_pose_departure is None
        return states and not self.reward_departures and not self.success_departures

    @property
    def seed_departs(self) -> bool:
        """It has a seed, and that leads somewhere else."""
        return self.seed_error is not None and self.start != "seed"


@dataclass
class Played:
    """What the simulator gave.

    States [n + 1, o] with the start, rewards [n] float32, success [n] or empty, differences of recorded simulator
    states [n], zero where there are none.
    """

    states: Array
    rewards: Array
    success: Array
    poses: Array
    terminated: bool = False
    problem: str = ""


def replay_episode(
    env: Any,
    index: int,
    episode: Episode,
    noted: Mapping[str, Array],
    tolerance: float,
    *,
    row_by_row: bool = True,
    on_step: OnStep | None = None,
) -> EpisodeReplay:
    """Replay one episode.

    Args:
        env: the simulator, with a horizon no shorter than the episode.
        index: number of the episode, for the result.
        episode: what was recorded.
        noted: the episode's imported initial state, if any.
        tolerance: difference beyond which the replay departs.
        row_by_row: where it departs and states are recorded, also play every action from its own recorded state.
        on_step: called after the start and each step, for films.
    """
    start = begin(env, episode, noted, tolerance)
    about: dict[str, Any] = {"index": index, "seed": episode.seed, "steps": len(episode)}
    about |= {"start": start.kind, "seed_error": start.seed_error}
    if start.kind == "none":
        return EpisodeReplay(**about, played=0, problem=start.problem)
    played = play(env, episode, start.observation, on_step)
    found = _states(episode, played, tolerance) | _rewards(episode, played, tolerance) | _success(episode, played)
    found |= {"end": _end(episode, played), "problem": played.problem, "played": len(played.rewards)}
    through = EpisodeReplay(**about, **found)
    if through.follows or not (row_by_row and "qpos" in episode.infos and has_pose(env)):
        return through
    return replace(through, **_rows(env, episode, tolerance))


def play(env: Any, episode: Episode, first: Array, on_step: OnStep | None) -> Played:
    """Play the actions from where the simulator stands; stops where it fails or ends the episode."""
    states, rewards, success, poses = [first], [], [], []
    posed = "qpos" in episode.infos and has_pose(env)
    terminated, problem = False, ""
    if on_step is not None:
        on_step(0, float("nan"), None, _differences(first[np.newaxis], episode.observations[:1])[0])
    for step, action in enumerate(episode.actions):
        poses.append(_apart_in_pose(env, episode, step) if posed else 0.0)
        try:
            state, reward, terminated, _, info = env.step(action)
        except EnvError as error:
            problem = error.message
            break
        states.append(state)
        rewards.append(reward)
        success.append(info.get("success"))
        if on_step is not None:
            apart = _differences(state[np.newaxis], episode.next_observations[step : step + 1])[0]
            on_step(step + 1, float(reward), success[-1], apart)
        if terminated:
            break
    told = success if success and None not in success else []
    apart = np.array(poses[: len(rewards)])
    return Played(np.stack(states), np.array(rewards, np.float32), np.array(told, bool), apart, terminated, problem)


def _apart_in_pose(env: Any, episode: Episode, step: int) -> float:
    """Largest difference between the simulator's state and the one recorded before a step."""
    worst = 0.0
    for name, value in pose_of(env).items():
        noted = episode.infos.get(name)
        if noted is not None:
            same = noted.shape[1:] == value.shape
            worst = max(
                worst, float(_differences(value.reshape(1, -1), noted[step].reshape(1, -1))[0]) if same else np.inf
            )
    return worst


def _states(episode: Episode, played: Played, tolerance: float) -> dict[str, Any]:
    """Both columns of the record against the states: a change in either is a departure."""
    steps = len(played.rewards)
    errors = np.zeros(steps + 1)
    errors[:steps] = _differences(played.states[:steps], episode.observations[:steps])
    errors[1:] = np.maximum(errors[1:], _differences(played.states[1:], episode.next_observations[:steps]))
    if not steps:
        errors[0] = _differences(played.states, episode.observations[:1])[0]
    marks = np.unique(np.ceil(np.arange(1, _TENTHS + 1) * steps / _TENTHS).astype(int))
    return {
        "start_error": float(errors[0]),
        "first_difference": _first(~(errors == 0)),
        "first_departure": _first(~(errors <= tolerance)),
        "state_error": float(errors.max()),
        "error_growth": np.maximum.accumulate(errors)[marks].tolist(),
        "pose_error": float(played.poses.max(initial=0.0)),
        "first_pose_departure": _first(~(played.poses <= tolerance)),
    }


def _differences(one: Array, other: Array) -> Array:
    """Largest difference of each row; infinite where a number is not one."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(one.astype(np.float64) - other)
    apart = apart.max(axis=1, initial=0.0) if apart.ndim > 1 else apart
    return np.where(np.isnan(apart), np.inf, apart)


def _rewards(episode: Episode, played: Played, tolerance: float) -> dict[str, Any]:
    steps = len(played.rewards)
    recorded = episode.rewards[:steps]
    errors = _differences(played.rewards, recorded)
    departed = ~(errors <= tolerance)
    return {
        "reward_error": float(errors.max(initial=0.0)),
        "first_reward_departure": _first(departed),
        "reward_departures": int(departed.sum()),
        "reward_shift": _shift(recorded, played.rewards, tolerance) if departed.any() else 0,
        "last_reward_agrees": not departed[-1:].any(),
        "return_recorded": float(recorded.sum(dtype=np.float64)),
        "return_replayed": float(played.rewards.sum(dtype=np.float64)),
    }


def _shift(recorded: Array, replayed: Array, tolerance: float) -> int:
    for shift in (1, -1):
        ahead, behind = (recorded, replayed) if shift == 1 else (replayed, recorded)
        if len(recorded) > 1 and (np.abs(ahead[1:] - behind[:-1]) <= tolerance).all():
            return shift
    return 0


def _success(episode: Episode, played: Played) -> dict[str, Any]:
    steps = len(played.rewards)
    recorded = episode.infos.get("success")
    found: dict[str, Any] = {}
    if recorded is not None:
        found["success_recorded"] = bool(recorded[:steps].any())
    if len(played.success):
        found["success_replayed"] = bool(played.success.any())
    if len(found) == 2:  # noqa: PLR2004  (both say)
        found["success_departures"] = int((recorded[:steps] != played.success).sum()) if recorded is not None else 0
    return found


def _end(episode: Episode, played: Played) -> str:
    """Time limits are the recorder's business; the end of the task is the simulator's."""
    steps = len(played.rewards)
    if played.terminated and not (steps == len(episode) and episode.terminals[-1]):
        return f"simulator ends the episode at step {steps}"
    if not played.terminated and episode.terminals[-1] and not played.problem:
        return "simulator does not end the episode"
    return "as recorded"


def _rows(env: Any, episode: Episode, tolerance: float) -> dict[str, Any]:
    """Every action from its own recorded state: tells which rows are wrong, where a replay only tells the first."""
    errors = np.full(len(episode), np.inf)
    goals = episode.infos.get("success")
    env.reset(seed=0)
    for row, action in enumerate(episode.actions):
        try:
            set_pose(env, {name: rows[row] for name, rows in episode.infos.items()})
            state, reward, _, _, info = env.step(action)
        except EnvError:
            continue  # its difference stays infinite
        apart = np.append(state - episode.next_observations[row], np.float32(reward) - episode.rewards[row])
        same = goals is None or "success" not in info or bool(info["success"]) == bool(goals[row])
        joined = row == 0 or (episode.observations[row] == episode.next_observations[row - 1]).all()
        errors[row] = _differences(apart[np.newaxis], np.zeros(1))[0] if same and joined else np.inf
    departed = np.flatnonzero(~(errors <= tolerance))
    return {"rows_checked": len(episode), "row_departures": departed.tolist(), "row_error": float(errors.max())}


def _first(flags: Array) -> int | None:
    return int(np.argmax(flags)) if flags.any() else None
