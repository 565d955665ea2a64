"""Carry out a plan: let a source act in an environment and write down what happens.

Episode i of a dataset depends on its seed alone, so a file has the same content hash for any number of workers.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.collect.identity import differences, plan_facts
from awac_tr.collect.plan import Plan
from awac_tr.collect.sources import Source, clone_source, noise_source, policy_source
from awac_tr.collect.unfinished import CollectInterrupted, open_partial, whatever_ends_it
from awac_tr.data.meta import DatasetMeta
from awac_tr.data.partial import Partial, read_episodes
from awac_tr.data.reader import open_dataset
from awac_tr.data.writer import DatasetWriter
from awac_tr.envs.facts import EnvFacts, env_facts
from awac_tr.envs.make import make_env
from awac_tr.envs.measures import measure
from awac_tr.envs.rollout import Episode, episode_seeds, rollouts
from awac_tr.errors import AwacError, DatasetError
from awac_tr.locks import Lock
from awac_tr.policies.demonstrators import demonstrator_path
from awac_tr.recipes.options import CloneSettings, OUOptions, PolicyOptions
from awac_tr.training.cloning import CloneProgress, clone_path
from awac_tr.training.interrupt import Interruption

__all__ = ["CollectProgress", "CollectReport", "carry_out"]

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


def carry_out(
    plan: Plan,
    lock: Lock,
    *,
    workers: int = 1,
    overwrite: bool = False,
    resume: bool = False,
    on_episode: Callable[[CollectProgress], None] | None = None,
    on_check: Callable[[CloneProgress], None] | None = None,
) -> CollectReport:
    """As :func:`awac_tr.collect.collect`, where the dataset to be cloned is there, and the dataset's lock is held."""
    start = time.perf_counter()
    stage = _Stage.of(plan)
    facts = plan_facts(plan, stage.facts)
    with Interruption() as stop:
        partial, replaces = open_partial(plan, facts, resume=resume, overwrite=overwrite)
        with whatever_ends_it(plan, partial, stop):
            source = _source(plan, stage, partial, _checked(on_check, stop))
            stop.check()
            tally = _Tally(plan.n, stage.facts.goal_steps, on_episode)
            _fill(partial, plan, stage, source, tally, workers, stop)
            content_hash = _publish(partial, plan, _meta(plan, stage, source), lock, overwrite=replaces)
    if stop.signum is not None:
        raise CollectInterrupted(plan.out, stop.signum, tally.episodes, complete=True)
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
        clone=clone_path(plan.out) if plan.source == "bc" else None,
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


def _checked(on_check: Callable[[CloneProgress], None] | None, stop: Interruption) -> Callable[[CloneProgress], None]:
    """Cloning stops on a signal as well, at its next check."""

    def tell(progress: CloneProgress) -> None:
        if on_check is not None:
            on_check(progress)
        stop.check()

    return tell


def _source(plan: Plan, stage: _Stage, partial: Partial, on_check: Callable[[CloneProgress], None]) -> Source:
    """What acts, written down, and on resuming the same as before."""
    source = _made_source(plan, stage, partial.actor, on_check)
    if partial.actor is None:
        partial.note_actor(source.facts)
    elif changed := list(differences(partial.actor, source.facts)):
        raise DatasetError(
            f"what acts is not what acted in the episodes of {partial.path}: {'; '.join(changed)}",
            "start anew with --force.",
        )
    return source


def _made_source(
    plan: Plan, stage: _Stage, before: Mapping[str, Any] | None, on_check: Callable[[CloneProgress], None]
) -> Source:
    settings = plan.settings
    if isinstance(settings, CloneSettings):
        return clone_source(
            _named(plan.dataset, "from"),
            stage.facts,
            clone_path(plan.out),
            settings,
            plan.mode,
            seed=plan.seed,
            before=before,
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


def _fill(
    partial: Partial, plan: Plan, stage: _Stage, source: Source, tally: _Tally, workers: int, stop: Interruption
) -> None:
    """Collect the episodes that are not there yet."""
    partial.begin(_meta(plan, stage, source))
    for episode in read_episodes(partial.path, plan.n):
        tally.keep(episode)
    tally.start()
    seeds = episode_seeds(plan.seed, plan.n)[tally.episodes :]
    if not seeds:
        return
    relabel = _Relabel(source, stage) if source.extra.get("label") == "clean" else None
    episodes = rollouts(plan.env, source.make_controller, seeds, workers=workers, record_state=stage.has_state)
    with closing(episodes):
        for episode in episodes:
            partial.append(relabel(episode) if relabel else episode)
            tally.add(episode)
            if tally.episodes < plan.n:
                stop.check()


def _publish(partial: Partial, plan: Plan, meta: DatasetMeta, lock: Lock, *, overwrite: bool) -> str:
    """Make the dataset of the partial file, which is then gone; returns the content hash."""
    if plan.out.exists() and not overwrite:
        digest = _published_before(partial, plan)
    else:
        with DatasetWriter(plan.out, meta, overwrite=overwrite, lock=lock) as writer:
            for episode in read_episodes(partial.path, plan.n):
                writer.append(episode)
            digest = writer.finish()
    partial.remove()
    return digest


def _published_before(partial: Partial, plan: Plan) -> str:
    """Whoever was killed between giving the dataset its name and removing the partial file left both."""
    digest = partial.content_hash(plan.n)
    with open_dataset(plan.out) as dataset:
        if dataset.content_hash != digest:
            hint = "choose another name with --out, or replace it with --force."
            raise DatasetError(f"{plan.out} exists already", hint)
    return digest


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
        env_id=stage.facts.env.id,
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
        self.episodes = self.steps = 0
        self.steps_per_second = 0.0
        self.start()

    def start(self) -> None:
        """From here on the rate counts."""
        self._start, self._steps_before = time.perf_counter(), self.steps

    def keep(self, episode: Episode) -> None:
        """Count an episode that was there before."""
        for name, values in measure([episode], self._goal_steps).items():
            self._values[name].append(float(values[0]))
        self.episodes += 1
        self.steps += len(episode)

    def add(self, episode: Episode) -> None:
        """Count an episode, and tell of it."""
        self.keep(episode)
        self.steps_per_second = (self.steps - self._steps_before) / (time.perf_counter() - self._start)
        if self._on_episode is not None:
            success = self.means().get("success_any")
            self._on_episode(CollectProgress(self.episodes, self._total, self.steps, self.steps_per_second, success))

    def means(self) -> dict[str, float]:
        """Over the episodes so far; measures that not every episode has are left out."""
        return {name: float(np.mean(values)) for name, values in self._values.items() if len(values) == self.episodes}
