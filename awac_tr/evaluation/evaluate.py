"""Measure a policy: episodes from fixed seeds, all success measures and the return, and how sure one can be of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import CheckpointError
from awac_tr.evaluation.intervals import BINARY, METHOD, Estimate, estimate
from awac_tr.recipes.env_files import EnvSaid, chosen_env
from awac_tr.recipes.schema import EnvSection, EvalSection

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.envs.episode import Controller, Episode

__all__ = ["DEFAULT_SEED", "Evaluation", "evaluate"]

_log = logging.getLogger(__name__)

DEFAULT_SEED: Final[int] = EvalSection().seed
"""The seed of evaluations during training, so that a checkpoint measured again meets the same episodes."""

Mode = Literal["mean", "sample"]


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found.

    Attributes:
        checkpoint: the policy's file.
        env: the environment, with its horizon.
        action: ``mean`` or ``sample``.
        seed: of the first episode; the others follow by one.
        goal_steps: ``success_steps`` asks for more goal steps than this; None where the task has no such measure.
        measures: name -> estimate over the episodes.
        episodes: one mapping an episode in order of seeds: ``seed``, ``return``, ``length``, the success measures, and
            ``goal_count``, the number of goal steps (where the environment reports success).
        seconds: wall time of the episodes.
        trusted: code that the file names was imported, or stands in it was run, if there was any.
        allow_bounds_mismatch: the environment bounds actions otherwise than where the policy was trained, as allowed.
    """

    checkpoint: Path
    env: EnvSection
    action: Literal["mean", "sample"]
    seed: int
    goal_steps: int | None
    measures: Mapping[str, Estimate]
    episodes: Sequence[Mapping[str, Any]]
    seconds: float
    trusted: bool = False
    allow_bounds_mismatch: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, with the method of the intervals and the versions that decide what was simulated."""
        env = self.env
        told = ("action", "trusted", "allow_bounds_mismatch", "seed", "goal_steps", "seconds")
        packages = ("awac-tr", "mujoco", "gymnasium", "gymnasium-robotics", "torch")
        return {
            "checkpoint": str(self.checkpoint),
            "env_id": env.id,
            "env_kwargs": env.kwargs,
            "env_options": env.options,
            "horizon": env.horizon,
            **{name: getattr(self, name) for name in told},
            "measures": {name: asdict(one) for name, one in self.measures.items()},
            "episodes": len(self.episodes),
            "intervals": METHOD,
            "rows": [dict(row) for row in self.episodes],
            "versions": {name: version(name) for name in packages},
        }


def evaluate(
    checkpoint: str | Path,
    *,
    episodes: int = 50,
    seed: int = DEFAULT_SEED,
    action: Literal["mean", "sample"] = "mean",
    workers: int = 1,
    env: EnvSaid | None = None,
    trust: bool = False,
    allow_bounds_mismatch: bool = False,
    on_episode: Callable[[Mapping[str, Any]], None] | None = None,
) -> Evaluation:
    """Roll out a policy from fixed seeds and measure it.

    Args:
        checkpoint: a checkpoint of ours, an expert's ``.npz``, or a Stable-Baselines3 file, ``.zip``.
        episodes: how many, at least 1; their seeds are ``seed``, ``seed + 1``, ...
        seed: of the first episode. The same seed gives the same episodes, whatever the number of workers.
        action: the policy's mean action, or one drawn from it.
        workers: processes to spread the episodes over.
        env: the environment, for files that do not name theirs (``.npz``, ``.zip``); of a checkpoint, the same id or
            :class:`~awac_tr.recipes.env_files.EnvChanges` leave the rest as it was trained, and another task is
            refused. What differs from where it was trained is logged.
        trust: import the code that the file names (wrappers, a reward rule, the module of the environment), or let
            Stable-Baselines3 itself load its file, which runs code that stands in it.
        allow_bounds_mismatch: act although the environment bounds actions otherwise than where the policy was trained.
        on_episode: called with each episode's row as it comes.

    Raises:
        CheckpointError: the file cannot be used, does not name its environment, or belongs to another task.
        EnvError: the environment is unknown or cannot be made.
        UntrustedCodeError: the checkpoint names code, ``env`` does not, and ``trust`` is False.
    """
    from awac_tr.collectors.episodes import rollouts
    from awac_tr.envs.measures import measure

    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    how = {"trust": trust, "allow_bounds_mismatch": allow_bounds_mismatch}
    task = _Task.of(Path(checkpoint), env, action, **how)
    begin, rows = time.perf_counter(), []
    seeds = range(seed, seed + episodes)
    for episode in rollouts(task.env, task.make_controller, seeds, workers=workers):
        rows.append(_row(episode, measure([episode], task.facts.goal_steps)))
        if on_episode is not None:
            on_episode(rows[-1])
    names = [name for name in rows[0] if name not in ("seed", "goal_count")]
    table = np.array([[float(row[name]) for name in names] for row in rows])
    return Evaluation(
        checkpoint=task.path,
        env=task.facts.env,
        action=action,
        seed=seed,
        goal_steps=task.facts.goal_steps,
        measures=estimate(names, table, seed),
        episodes=tuple(rows),
        seconds=time.perf_counter() - begin,
        trusted=trust,
        allow_bounds_mismatch=allow_bounds_mismatch,
    )


@dataclass(frozen=True)
class _Task:
    """A policy file and the environment it acts in, checked against each other."""

    path: Path
    env: EnvSection
    facts: EnvInfo
    make_controller: Callable[[], Controller]

    @classmethod
    def of(cls, path: Path, wanted: EnvSaid | None, action: Mode, *, trust: bool = False, **how: bool) -> _Task:
        from awac_tr.envs.env_info import env_info
        from awac_tr.policies.checkpoint import load_policy
        from awac_tr.policies.controllers import controller_factory, names_its_env

        found = load_policy(path).env if names_its_env(path) else None
        try:
            env = chosen_env(path, found, wanted, trust=trust)
        except ValueError as error:
            hint = "name it with --env, for example --env door-binary-v0."
            raise CheckpointError(f"{path} does not say which environment it is for", hint) from error
        facts = env_info(env)
        return cls(path, env, facts, controller_factory(path, action, facts, trust=trust, **how))


def _row(episode: Episode, measured: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"seed": episode.seed}
    for name, values in measured.items():
        value = values[0].item()
        row[name] = bool(value) if name in BINARY else int(value) if name == "length" else value
    if "success" in episode.infos:
        row["goal_count"] = int(episode.infos["success"].sum())
    return row
