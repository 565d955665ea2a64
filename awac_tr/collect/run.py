"""Carry out a plan: let a source act in an environment and write down what happens.

Episode i of a dataset depends on its seed alone, so a file has the same content hash for any number of workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import numpy as np

from awac_tr.collect.identity import differences, plan_facts
from awac_tr.collect.plan import Plan
from awac_tr.collect.report import CollectProgress, CollectReport, Tally
from awac_tr.collect.sources import Source, meta_of, records_state, source_of
from awac_tr.collect.unfinished import (
    CollectInterrupted,
    open_partial,
    report_complete,
    to_be_replaced,
    whatever_ends_it,
)
from awac_tr.collectors.episodes import rollouts
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.partial import Partial, read_episodes
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.env_info import EnvInfo, env_info
from awac_tr.envs.episode import Episode, episode_seeds
from awac_tr.envs.make import require_env
from awac_tr.errors import DatasetError
from awac_tr.training.cloning import CloneProgress
from awac_tr.training.interrupt import Interruption
from awac_tr.utils.locks import Lock

__all__ = ["carry_out"]


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
    require_env(plan.env)
    env = env_info(plan.env)
    if resume and plan.out.exists() and not to_be_replaced(plan):
        return report_complete(plan, env)
    facts = plan_facts(plan, env)
    with Interruption() as stop:
        partial, replaces = open_partial(plan, facts, resume=resume, overwrite=overwrite)
        with whatever_ends_it(plan, partial, stop):
            source = _source(plan, env, partial, _checked(on_check, stop))
            stop.check()
            tally = Tally(plan.n, env.goal_steps, on_episode)
            _fill(partial, plan, env, source, tally, workers, stop)
            content_hash = _publish(partial, plan, meta_of(plan, env, source), lock, overwrite=replaces)
    if stop.signum is not None:
        raise CollectInterrupted(plan.out, stop.signum, tally.episodes, complete=True)
    return tally.report(plan, source.policy, content_hash, time.perf_counter() - start)


def _checked(on_check: Callable[[CloneProgress], None] | None, stop: Interruption) -> Callable[[CloneProgress], None]:
    """Cloning stops on a signal as well, at its next check."""

    def tell(progress: CloneProgress) -> None:
        if on_check is not None:
            on_check(progress)
        stop.check()

    return tell


def _source(plan: Plan, env: EnvInfo, partial: Partial, on_check: Callable[[CloneProgress], None]) -> Source:
    """What acts, written down, and on resuming the same as before."""
    source = source_of(plan, env, partial.actor, on_check)
    if partial.actor is None:
        partial.note_actor(source.facts)
    elif changed := list(differences(partial.actor, source.facts)):
        raise DatasetError(
            f"what acts is not what acted in the episodes of {partial.path}: {'; '.join(changed)}",
            "start anew with --force.",
        )
    return source


def _fill(
    partial: Partial, plan: Plan, env: EnvInfo, source: Source, tally: Tally, workers: int, stop: Interruption
) -> None:
    partial.begin(meta_of(plan, env, source))
    for episode in read_episodes(partial.path, plan.n):
        tally.keep(episode)
    tally.start()
    seeds = episode_seeds(plan.seed, plan.n)[tally.episodes :]
    if not seeds:
        return
    relabel = _Relabel(source, env) if source.extra.get("label") == "clean" else None
    stated = records_state(plan, env)
    episodes = rollouts(plan.env, source.make_controller, seeds, workers=workers, record_state=stated)
    with closing(episodes):
        for episode in episodes:
            partial.append(relabel(episode) if relabel else episode)
            tally.add(episode)
            if tally.episodes < plan.n:
                stop.check()


def _publish(partial: Partial, plan: Plan, meta: DatasetMeta, lock: Lock, *, overwrite: bool) -> str:
    """Make the dataset of the partial file, which is then gone; returns the content hash."""
    with DatasetWriter(plan.out, meta, overwrite=overwrite, lock=lock) as writer:
        for episode in read_episodes(partial.path, plan.n):
            writer.append(episode)
        digest = writer.finish()
    partial.remove()
    return digest


class _Relabel:
    """Writes down what the source would have done without the noise, at the states where the noise led."""

    def __init__(self, source: Source, env: EnvInfo) -> None:
        self._controller = source.make_clean()
        self._low, self._high = env.inner_bounds

    def __call__(self, episode: Episode) -> Episode:
        self._controller.reset(episode.seed)
        actions = np.stack([self._controller.act(observation) for observation in episode.observations])
        return replace(episode, actions=np.clip(actions, self._low, self._high))
