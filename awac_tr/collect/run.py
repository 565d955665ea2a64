"""Carry out a plan: let a source act in an environment and write down what happens.

Episode i of a dataset depends on its seed alone, so a file has the same content hash for any number of workers.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.collect.plan import Plan
from awac_tr.collect.sources import Source, clone_source, noise_source, policy_source
from awac_tr.data.meta import DatasetMeta
from awac_tr.data.writer import DatasetWriter
from awac_tr.envs.facts import EnvFacts, env_facts
from awac_tr.envs.make import make_env
from awac_tr.envs.measures import measure
from awac_tr.envs.rollout import Episode, episode_seeds, rollouts
from awac_tr.errors import AwacError, DatasetError
from awac_tr.policies.demonstrators import demonstrator_path
from awac_tr.recipes.options import CloneSettings, OUOptions, PolicyOptions
from awac_tr.training.cloning import CloneProgress, clone_path

__all__ = ["CollectProgress", "CollectReport", "carry_out", "refuse_existing"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CollectProgress:
    """After each episode: episodes done of all, steps, steps/s since the start, share of successes so far or None."""

    episodes: int
    total: int
    steps: int
    steps_per_second: float
    success: float | None


@dataclass(frozen=True)
class CollectReport:
    """What was collected.

    Attributes:
        path: the dataset.
        content_hash: over its arrays.
        env_id: the environment.
        source: who acted.
        policy: the same in words.
        episodes: how many.
        transitions: how many.
        measures: means over the episodes: return, length, and the success measures where the environment has them.
        seconds: wall time, cloning included.
        steps_per_second: environment steps over the wall time of the rollouts alone.
        clone: the clone's checkpoint; None for other sources.
    """

    path: Path
    content_hash: str
    env_id: str
    source: str
    policy: str
    episodes: int
    transitions: int
    measures: dict[str, float]
    seconds: float
    steps_per_second: float
    clone: Path | None = None


def refuse_existing(plan: Plan) -> None:
    """Say at once, before any work, that a file of the plan is there already.

    Raises:
        DatasetError: it is.
    """
    for path in (plan.out, clone_path(plan.out) if plan.source == "bc" else plan.out):
        if path.exists():
            raise DatasetError(f"{path} exists already", "choose another name with --out, or replace it with --force.")


def carry_out(
    plan: Plan,
    *,
    workers: int = 1,
    overwrite: bool = False,
    on_episode: Callable[[CollectProgress], None] | None = None,
    on_check: Callable[[CloneProgress], None] | None = None,
) -> CollectReport:
    """As :func:`awac_tr.collect.collect`, where the dataset to be cloned is there."""
    start = time.perf_counter()
    stage = _Stage.of(plan)
    made_clone = clone_path(plan.out) if plan.source == "bc" else None
    if not overwrite:
        refuse_existing(plan)
    with _removed_on_failure(made_clone):
        source = _source(plan, stage, on_check)
        tally = _Tally(plan.n, stage.facts.goal_steps, on_episode)
        content_hash = _write(plan, stage, source, tally, workers, overwrite=overwrite)
    return CollectReport(
        path=plan.out,
        content_hash=content_hash,
        env_id=stage.facts.id,
        source=plan.source,
        policy=source.policy,
        episodes=tally.episodes,
        transitions=tally.steps,
        measures=tally.means(),
        seconds=time.perf_counter() - start,
        steps_per_second=tally.steps_per_second,
        clone=made_clone,
    )


@dataclass(frozen=True)
class _Stage:
    """What has to be known of the environment: facts with the plan's horizon, action bounds, whether it has states."""

    facts: EnvFacts
    low: np.ndarray
    high: np.ndarray
    has_state: bool

    @classmethod
    def of(cls, plan: Plan) -> _Stage:
        facts, env = env_facts(plan.env), make_env(plan.env)
        try:
            space: Any = env.action_space
            simulator = getattr(env.unwrapped, "data", None)
            has_state = plan.record_state and hasattr(simulator, "qpos")
            if plan.record_state and not has_state:
                _log.info("%s has no MuJoCo state, so none is recorded.", facts.id)
            return cls(facts, space.low.astype(np.float32), space.high.astype(np.float32), has_state)
        finally:
            env.close()


@contextmanager
def _removed_on_failure(clone: Path | None) -> Iterator[None]:
    """A clone stands beside the dataset it made, and not without one."""
    try:
        yield
    except BaseException:
        if clone is not None:
            clone.unlink(missing_ok=True)
        raise


def _source(plan: Plan, stage: _Stage, on_check: Callable[[CloneProgress], None] | None) -> Source:
    settings = plan.settings
    if isinstance(settings, CloneSettings):
        return clone_source(
            _named(plan.dataset, "from"),
            stage.facts,
            clone_path(plan.out),
            settings,
            plan.mode,
            seed=plan.seed,
            on_check=on_check,
        )
    if isinstance(settings, PolicyOptions):
        demonstrator = plan.source == "demos"
        path = demonstrator_path(stage.facts.id) if demonstrator else _named(plan.policy, "policy")
        return policy_source(path, stage.facts, plan.mode, settings, packaged=demonstrator, trust=plan.trust)
    return noise_source(stage.low, stage.high, settings if isinstance(settings, OUOptions) else None)


def _named(path: Path | None, option: str) -> Path:
    if path is None:
        raise AwacError(f"this source needs a file: --{option} FILE")
    return path


def _write(plan: Plan, stage: _Stage, source: Source, tally: _Tally, workers: int, *, overwrite: bool) -> str:
    seeds = episode_seeds(plan.seed, plan.n)
    episodes = rollouts(
        plan.env,
        source.make_controller,
        seeds,
        workers=workers,
        record_state=stage.has_state,
    )
    relabel = _Relabel(source, stage) if source.extra.get("label") == "clean" else None
    with DatasetWriter(plan.out, _meta(plan, stage, source), overwrite=overwrite) as writer, closing(episodes):
        for episode in episodes:
            writer.append(relabel(episode) if relabel else episode)
            tally.add(episode)
        return writer.finish()


class _Relabel:
    """Writes down what the source would have done without the noise, at the states where the noise led."""

    def __init__(self, source: Source, stage: _Stage) -> None:
        self._controller = source.make_clean()
        self._low, self._high = stage.low, stage.high

    def __call__(self, episode: Episode) -> Episode:
        self._controller.reset(episode.seed)
        actions = np.stack([self._controller.act(observation) for observation in episode.observations])
        return replace(episode, actions=np.clip(actions, self._low, self._high))


def _meta(plan: Plan, stage: _Stage, source: Source) -> DatasetMeta:
    return DatasetMeta(
        env_id=stage.facts.id,
        env_kwargs=plan.env.kwargs,
        env_options=plan.env.options,
        horizon=stage.facts.horizon,
        source=plan.source,
        policy=source.policy,
        seed=plan.seed,
        action_low=stage.low,
        action_high=stage.high,
        licence=source.licence if plan.licence is None else plan.licence,
        description=plan.description,
        parents=source.parents,
        extra=source.extra,
    )


class _Tally:
    """Counts, rate and success while episodes come in."""

    def __init__(
        self, total: int, goal_steps: int | None, on_episode: Callable[[CollectProgress], None] | None
    ) -> None:
        self._total, self._goal_steps, self._on_episode = total, goal_steps, on_episode
        self._values: dict[str, list[float]] = defaultdict(list)
        self._start = time.perf_counter()
        self.episodes = self.steps = 0
        self.steps_per_second = 0.0

    def add(self, episode: Episode) -> None:
        for name, values in measure([episode], self._goal_steps).items():
            self._values[name].append(float(values[0]))
        self.episodes += 1
        self.steps += len(episode)
        self.steps_per_second = self.steps / (time.perf_counter() - self._start)
        if self._on_episode is not None:
            success = self.means().get("success_any")
            self._on_episode(CollectProgress(self.episodes, self._total, self.steps, self.steps_per_second, success))

    def means(self) -> dict[str, float]:
        """Over the episodes so far; measures that not every episode has are left out."""
        return {name: float(np.mean(values)) for name, values in self._values.items() if len(values) == self.episodes}
