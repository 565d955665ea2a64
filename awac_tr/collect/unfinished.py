"""Collections that end before their time or are asked for again: what is kept, how they go on, what they refuse."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from awac_tr.collect.identity import differences, file_sha256, plain
from awac_tr.collect.plan import Plan
from awac_tr.collect.report import CollectReport, Tally
from awac_tr.collect.sources import meta_of, records_state, source_of
from awac_tr.data.storage.partial import Partial, PartialSummary, partial_path, summarize_partial
from awac_tr.data.storage.reader import Dataset, open_dataset
from awac_tr.envs.env_info import EnvInfo
from awac_tr.envs.episode import episode_seeds
from awac_tr.errors import AwacError, DatasetError
from awac_tr.training.cloning import clone_path
from awac_tr.training.interrupt import Interruption, StopRequested

__all__ = [
    "CollectInterrupted",
    "open_partial",
    "refuse_existing",
    "report_complete",
    "to_be_replaced",
    "whatever_ends_it",
]

_log = logging.getLogger(__name__)


class CollectInterrupted(Exception):  # noqa: N818
    """A collection was stopped by a signal, after the episode under way.

    Attributes:
        out: the dataset that was being collected.
        signum: the signal's number; shells expect the exit code 128 + signum.
        episodes: kept.
        complete: the signal came so late that the dataset is complete.
    """

    def __init__(self, out: Path, signum: int, episodes: int, *, complete: bool = False) -> None:
        kept = "it is complete" if complete else f"{episodes} episodes are kept, resume goes on with them"
        super().__init__(f"{signal.Signals(signum).name} stopped the collection of {out}: {kept}")
        self.out, self.signum, self.episodes, self.complete = out, signum, episodes, complete


def refuse_existing(plan: Plan, *, resume: bool = False) -> None:
    """Say at once, before any work, that a file of the plan is there already; ``resume``: an unfinished one may be.

    Raises:
        DatasetError: the dataset, its clone or an unfinished collection of it is there, and not to be gone on with.
    """
    found = _found(plan)
    if plan.out.exists() and not resume:
        raise _exists(plan.out)
    if found is not None and not resume:
        raise DatasetError(f"{found.path} is {found}", "go on with it by --resume, or start anew with --force.")
    going_on = found is not None or (resume and plan.out.exists())
    if plan.source == "bc" and clone_path(plan.out).exists() and not going_on:
        raise _exists(clone_path(plan.out))


def to_be_replaced(plan: Plan) -> bool:
    """Whether an unfinished collection was begun to replace the dataset that is there."""
    found = _found(plan)
    return found is not None and found.replaces


def _exists(path: Path) -> DatasetError:
    return DatasetError(f"{path} exists already", "choose another name with --out, or replace it with --force.")


def _found(plan: Plan, *, check: bool = False) -> PartialSummary | None:
    path = partial_path(plan.out)
    if not path.exists():
        return None
    try:
        return summarize_partial(path, check=check)
    except DatasetError as error:
        raise DatasetError(error.message, error.hint or "remove it, or start anew with --force.") from error


def open_partial(plan: Plan, facts: Mapping[str, Any], *, resume: bool, overwrite: bool) -> tuple[Partial, bool]:
    """Begin a collection, or go on with one of the same ``facts``, see :func:`awac_tr.collect.identity.plan_facts`.

    Returns:
        The partial file, and whether an existing dataset is to be replaced.

    Raises:
        DatasetError: what is there belongs to another plan, or cannot be read; or nothing can be written.
    """
    before = None if overwrite else _found(plan, check=True)
    if before is not None:
        _refuse_another(before, facts, plan)
        _log.info("Going on with %s: %d of %d episodes are there.", before.path, before.episodes, plan.n)
        if before.episodes > plan.n:
            _log.info("%d episodes more than asked for are dropped.", before.episodes - plan.n)
    elif resume:
        _log.info("There is nothing of %s to go on with: it begins.", plan.out)
    replaces = overwrite or (before is not None and before.replaces)
    partial = Partial(plan.out, before)
    try:
        if before is None or before.wanted != plan.n:
            partial.note_plan(facts, wanted=plan.n, replaces=replaces)
    except BaseException:
        (partial.remove if before is None else partial.close)()
        raise
    return partial, replaces


def _refuse_another(before: PartialSummary, facts: Mapping[str, Any], plan: Plan) -> None:
    changed = list(differences(before.plan, dict(facts)))
    if not changed and before.seeds != episode_seeds(plan.seed, before.episodes):
        changed = ["episodes: of other seeds"]
    if changed:
        raise DatasetError(
            f"{before.path} is of another collection: {'; '.join(changed)}",
            "ask for what it was begun as, start anew with --force (or remove it), or choose another --out.",
        )


@contextmanager
def whatever_ends_it(plan: Plan, partial: Partial, stop: Interruption) -> Iterator[None]:
    """Keep what was collected, and say so; a file without anything worth keeping is removed.

    Raises:
        CollectInterrupted: a signal asked for it.
    """
    clone = clone_path(plan.out) if plan.source == "bc" else None
    had_clone = clone is not None and clone.exists()
    try:
        yield
    except BaseException as error:
        partial.close()
        worth_keeping = partial.episodes > 0 or (clone is not None and partial.actor is not None)
        if not worth_keeping:
            partial.remove()
            if clone is not None and not had_clone:
                clone.unlink(missing_ok=True)
        if isinstance(error, StopRequested):
            raise CollectInterrupted(plan.out, stop.signum or 0, partial.episodes) from error
        if worth_keeping:
            _tell(error, f"{partial.episodes} of {plan.n} episodes are kept in {partial.path}; --resume goes on.")
        raise


def _tell(error: BaseException, what: str) -> None:
    """In the error's own message where it has one for the user, so that there is one message."""
    if isinstance(error, AwacError):
        error.hint = f"{error.hint} {what}".strip()
    else:
        _log.warning("%s", what)


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
    source = source_of(plan, env, {"extra": meta.extra}, lambda _: None)  # nothing is trained here
    yield from differences(plain(asdict(meta)), plain(asdict(meta_of(plan, env, source))))


def _has_clone(plan: Plan, dataset: Dataset) -> bool:
    noted, path = dataset.meta.extra.get("clone"), clone_path(plan.out)
    return isinstance(noted, dict) and path.is_file() and file_sha256(path) == noted.get("sha256")
