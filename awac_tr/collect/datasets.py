"""Collecting, with everything a dataset needs: what is missing is made from its card, parents first, and said aloud."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from awac_tr.collect.plan import Plan
from awac_tr.collect.report import CollectProgress, CollectReport
from awac_tr.collect.run import carry_out
from awac_tr.collect.unfinished import refuse_existing
from awac_tr.data.storage.partial import partial_path
from awac_tr.data.storage.paths import SUFFIXES, dataset_folder, dataset_path
from awac_tr.data.storage.reader import open_dataset
from awac_tr.errors import DatasetError
from awac_tr.recipes.cards import DatasetCard, load_card
from awac_tr.recipes.library import cards
from awac_tr.recipes.schema import differing_keys
from awac_tr.training.cloning import CloneProgress
from awac_tr.utils.atomic import cannot_write
from awac_tr.utils.locks import Lock, file_lock

__all__ = ["collect", "ensure_datasets", "plan_of_card"]

_log = logging.getLogger(__name__)


CarryOut = Callable[..., CollectReport]
"""What stays the same from a dataset to its parents: :func:`carry_out` with workers and callbacks."""


def collect(
    plan: Plan,
    *,
    workers: int = 1,
    overwrite: bool = False,
    resume: bool = False,
    on_episode: Callable[[CollectProgress], None] | None = None,
    on_check: Callable[[CloneProgress], None] | None = None,
) -> CollectReport:
    """Carry out a plan; the dataset that ``bc`` clones is collected first if it is missing and has a card.

    Every episode is kept in ``NAME.hdf5.partial`` as it comes. Whatever ends the collection early, that file stays (it
    is removed where there is nothing in it), and ``resume`` finishes it to the dataset that it would have been.

    Args:
        plan: what to collect, see :func:`awac_tr.collect.plan`.
        workers: processes that roll out episodes.
        overwrite: replace an existing file, and begin anew where there is an unfinished one.
        resume: go on with what an interrupted call left; where there is nothing, begin.
        on_episode: called after each episode.
        on_check: called after each held-out check while a clone is trained.

    Raises:
        DatasetError: the file exists or is being written by another process, what is to be resumed is of another plan,
            the disk is full, or the dataset to clone is missing or cannot be used.
        CollectInterrupted: Ctrl-C or SIGTERM; the episode under way was finished first.
        CheckpointError: the policy cannot be used, or belongs to another task.
        EnvError: unknown environment, or one without a packaged demonstrator.
    """
    if overwrite and resume:
        raise DatasetError("resume goes on with what is there, and force begins anew", "choose one of the two.")
    make = partial(carry_out, workers=workers, on_episode=on_episode, on_check=on_check)
    with _locked(plan.out) as lock:
        if not overwrite:
            refuse_existing(plan, resume=resume)
        if plan.source == "bc" and plan.dataset is not None and not plan.dataset.is_file():
            _make_parent(plan.dataset, make)
        return make(plan, lock, overwrite=overwrite, resume=resume)


@contextmanager
def _locked(out: Path, *, wait: bool = False) -> Iterator[Lock]:
    """Hold the lock of a dataset that is to be made; folders that are made for it stay only with something in them.

    Raises:
        DatasetError: another process holds it, or there can be no such file.
    """
    made = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error, DatasetError) from error
    try:
        with file_lock(out, error=DatasetError, wait=wait) as lock:
            yield lock
    finally:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


def _make_parent(dataset: Path, make: CarryOut) -> None:
    name = dataset.stem
    if dataset_path(name) != dataset or not _has_card(name):
        raise DatasetError(f"no dataset to clone at {dataset}", "name one with --from, or collect it first.")
    _ensure(name, (), make)


def ensure_datasets(
    names: Sequence[str],
    *,
    workers: int = 1,
    on_episode: Callable[[CollectProgress], None] | None = None,
    on_check: Callable[[CloneProgress], None] | None = None,
) -> list[Path]:
    """The files of datasets, those that are missing collected from their cards.

    What an interrupted call left is gone on with; where another process is making one of them, it is waited for.

    Args:
        names: card names, or paths of dataset files (they have a folder, or end in ``.hdf5`` or ``.h5``).
        workers: processes that roll out episodes.
        on_episode: called after each collected episode.
        on_check: called after each held-out check while a clone is trained.

    Returns:
        One path a name, in their order.

    Raises:
        DatasetError: a file given by path is missing; one that has to be imported is missing; a file is not what its
            card says (environment, content hash).
        RecipeError: there is no card of a name, a card has mistakes, or cards are each other's parents.
    """
    make = partial(carry_out, workers=workers, on_episode=on_episode, on_check=on_check)
    return [_ensure(name, (), make) for name in names]


def plan_of_card(card: DatasetCard, out: Path) -> Plan:
    """What a card says to collect, into the file ``out``.

    Raises:
        DatasetError: it has to be imported instead.
    """
    if card.source == "import" or card.n is None:
        raise _import_first(card, out)
    return Plan(
        source=card.source,
        env=card.section,
        n=card.n,
        seed=card.seed,
        out=out,
        mode=card.action,
        policy=None if card.policy is None else Path(card.policy),
        dataset=None if card.parent is None else dataset_path(card.parent),
        settings=card.settings,
        licence=card.licence,
        description=card.description,
    )


def _ensure(name: str, children: tuple[str, ...], make: CarryOut) -> Path:
    path = dataset_path(name)
    if _is_path(name):
        if not path.is_file():
            raise DatasetError(f"no dataset at {path}", "make it with awac-tr collect or awac-tr data import.")
        return path
    if path.is_file():
        _refuse_other_content(name, path)
        return path
    card = load_card(name)
    if name in children:
        raise DatasetError(f"dataset cards are each other's parents: {' <- '.join((*children, name))}")
    wanted = plan_of_card(card, path)
    if card.parent is not None:
        _ensure(card.parent, (*children, name), make)
    with _locked(path, wait=True) as lock:
        if not path.is_file():
            _make(wanted, lock, make)
    _refuse_other_content(name, path)
    return path


def _make(plan: Plan, lock: Lock, make: CarryOut) -> None:
    path, resume = plan.out, partial_path(plan.out).exists()
    made = "going on with it as its card says" if resume else "making it from its card"
    _log.info("Dataset %s is missing; %s: %d episodes of %s in %s.", path, made, plan.n, plan.source, plan.env.id)
    refuse_existing(plan, resume=resume)
    report = make(plan, lock, resume=resume)
    success = report.measures.get("success_any")
    share = "" if success is None else f", success in {success:.1%} of {report.episodes} episodes"
    _log.info("Collected %s: %d transitions%s.", path, report.transitions, share)


def _has_card(name: str) -> bool:
    return name in cards() or (dataset_folder() / f"{name}.yaml").is_file()


def _is_path(name: str) -> bool:
    return Path(name).suffix in SUFFIXES or len(Path(name).parts) != 1


def _refuse_other_content(name: str, path: Path) -> None:
    """A dataset of the user's own needs no card; one that has a card must be what the card says."""
    if not _has_card(name):
        return
    card = load_card(name)
    with open_dataset(path) as dataset:
        found, meta, episodes = dataset.content_hash, dataset.meta, dataset.n_episodes
    hint = "it was made otherwise, or by other versions: move it away to have it made again, or name it by its path."
    if differing := differing_keys(meta.env, card.section):
        raise DatasetError(f"{path} is not of its card's environment: {'; '.join(differing.values())}", hint)
    for what, has, said in (
        ("source", meta.source, card.source),
        ("seed", meta.seed, card.seed),
        ("episodes", episodes, card.n),
    ):
        if card.source != "import" and has != said:
            _log.warning("%s is used although it is not as its card says: %s %s, not %s.", path, what, has, said)
    if card.hash is not None and found != card.hash:
        raise DatasetError(f"{path} has content hash {found}, its card says {card.hash}", hint)


def _import_first(card: DatasetCard, path: Path) -> DatasetError:
    kind = card.options.get("format", "")
    command = f"awac-tr data import FILE --format {kind} --env {card.section.id} --out {path}"
    return DatasetError(
        f"dataset {card.name} is not collected, but has to be imported: {card.description.strip()}", f"run: {command}"
    )
