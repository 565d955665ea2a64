"""Asking to resume what is finished: whoever was killed after the end, or asks twice, has what he wants."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict

from awac_tr.collect.identity import differences, file_sha256, plain
from awac_tr.collect.plan import Plan
from awac_tr.collect.report import CollectReport, Tally
from awac_tr.collect.source_setup import meta_of, records_state, source_of
from awac_tr.data.storage.partial import partial_path
from awac_tr.data.storage.reader import Dataset, open_dataset
from awac_tr.envs.env_info import EnvInfo
from awac_tr.errors import DatasetError
from awac_tr.training.cloning import CloneProgress, clone_path

__all__ = ["report_complete"]

_log = logging.getLogger(__name__)


def report_complete(plan: Plan, env: EnvInfo) -> CollectReport:
    """The report of a dataset that is there, where it is the one of the plan; what is left of its making is removed.

    Raises:
        DatasetError: it is another one.
    """
    with open_dataset(plan.out) as dataset:
        changed = list(_differences(plan, env, dataset))
        if changed:
            hint = "choose another name with --out, or replace it with --force."
            raise DatasetError(f"{plan.out} exists already, and is another dataset: {'; '.join(changed)}", hint)
        tally = Tally(plan.n, env.goal_steps, None)
        for index in range(plan.n):
            tally.keep(dataset.episode(index))
        policy, digest = dataset.meta.policy, dataset.content_hash
    partial_path(plan.out).unlink(missing_ok=True)
    _log.info("%s is complete already.", plan.out)
    return tally.report(plan, policy, digest, 0.0)


def _differences(plan: Plan, env: EnvInfo, dataset: Dataset) -> Iterator[str]:
    """What the dataset says of itself that it would not say if it were the plan's."""
    meta = dataset.meta
    if (meta.source, dataset.n_episodes) != (plan.source, plan.n):
        yield f"{dataset.n_episodes} episodes of {meta.source}, now {plan.n} of {plan.source}"
        return
    stated = records_state(plan, env)
    if ("infos/qpos" in dataset.array_names) != stated:
        yield f"the simulator's state is {'not ' if stated else ''}recorded"
    if plan.source == "bc" and not _has_clone(plan, dataset):
        yield f"{clone_path(plan.out)} is not the clone that made it"
        return
    source = source_of(plan, env, {"extra": meta.extra}, _nothing)
    yield from differences(plain(asdict(meta)), plain(asdict(meta_of(plan, env, source))))


def _has_clone(plan: Plan, dataset: Dataset) -> bool:
    noted, path = dataset.meta.extra.get("clone"), clone_path(plan.out)
    return isinstance(noted, dict) and path.is_file() and file_sha256(path) == noted.get("sha256")


def _nothing(_: CloneProgress) -> None:
    """Nothing is trained here."""
