"""The start of an episode: from its seed, from its recorded state, or rebuilt from what an import kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from awac_tr.envs.episode import Episode
from awac_tr.envs.state import rebuilt_pose, set_pose
from awac_tr.errors import EnvError

__all__ = ["START_WORDS", "Start", "StartKind", "begin"]

Array = np.ndarray[Any, Any]
StartKind = Literal["seed", "state", "rebuilt", "none"]

START_WORDS: dict[StartKind, str] = {
    "seed": "reset with its seed",
    "state": "set to its recorded state",
    "rebuilt": "rebuilt from its first observation and an incomplete initial state",
    "none": "unknown",
}


@dataclass(frozen=True)
class Start:
    """How an episode was begun.

    Attributes:
        kind: ``seed``: reset with the seed; ``state``: set to the recorded state; ``rebuilt``: put together from the
            first observation and an imported initial state; ``none``: there is nothing to begin from.
        observation: the simulator's first observation, [o]; the recorded one where there is no start.
        seed_error: largest difference between the reset with the seed and the recorded start; None without a seed.
        problem: why there is no start, empty where there is one.
    """

    kind: StartKind
    observation: Array
    seed_error: float | None = None
    problem: str = ""


def begin(env: Any, episode: Episode, noted: Mapping[str, Array], tolerance: float) -> Start:
    """Put the simulator at the start of an episode.

    The seed goes first, since it also tests how starts are drawn; then the recorded state; then what an import kept,
    ``noted``: arrays of the episode named ``init_...``, without that prefix.
    """
    recorded = episode.observations[0]
    if recorded.shape != env.observation_space.shape:
        raise EnvError(f"observations of {recorded.size} numbers, {env.observation_space.shape} in the simulator")
    observation, _ = env.reset(seed=max(episode.seed, 0))
    error = float(np.abs(observation.astype(np.float64) - recorded).max()) if episode.seed >= 0 else None
    if error is not None and error <= tolerance:
        return Start("seed", observation, error)
    return _without_seed(env, episode, noted, error)


def _without_seed(env: Any, episode: Episode, noted: Mapping[str, Array], error: float | None) -> Start:
    recorded = episode.observations[0]
    try:
        if "qpos" in episode.infos:
            return Start("state", set_pose(env, {name: rows[0] for name, rows in episode.infos.items()}), error)
        if noted:
            return Start("rebuilt", set_pose(env, rebuilt_pose(env, recorded, noted)), error)
    except EnvError as problem:
        return Start("none", recorded, error, problem.message)
    if error is None:
        return Start("none", recorded, error, "neither a seed nor a state was recorded")
    return Start("none", recorded, error, f"its seed leads to another start (by {error:.3g}), no state was recorded")
