"""Collecting, with everything a dataset needs: what is missing is made from its card, parents first, and said aloud."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from awac_tr.collect.plan import Plan
from awac_tr.collect.run import CollectProgress, CollectReport, carry_out, refuse_existing
from awac_tr.data.paths import SUFFIXES, dataset_folder, dataset_path
from awac_tr.data.reader import open_dataset
from awac_tr.errors import DatasetError
from awac_tr.recipes.cards import DatasetCard, load_card
from awac_tr.recipes.library import cards
from awac_tr.recipes.schema import EnvSection
from awac_tr.training.cloning import CloneProgress

__all__ = ["collect", "ensure_datasets", "plan_of_card"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _How:
    """What stays the same from a dataset to its parents."""

    workers: int
    on_episode: Callable[[CollectProgress], None] | None
    on_check: Callable[[CloneProgress], None] | None

    def carry_out(self, plan: Plan, *, overwrite: bool = False) -> CollectReport:
        return carry_out(
            plan, workers=self.workers, overwrite=overwrite, on_episode=self.on_episode, on_check=self.on_check
        )


def collect(
    plan: Plan,
    *,
    workers: int = 1,
    overwrite: bool = False,
    on_episode: Callable[[CollectProgress], None] | None = None,
    on_check: Callable[[CloneProgress], None] | None = None,
) -> CollectReport:
    """Carry out a plan; the dataset that ``bc`` clones is collected first if it is missing and has a card.

    After any error, Ctrl-C included, nothing of this dataset is left behind.

    Args:
        plan: what to collect, see :func:`awac_tr.collect.plan`.
        workers: processes that roll out episodes.
        overwrite: replace an existing file.
        on_episode: called after each episode.
        on_check: called after each held-out check while a clone is trained.

    Raises:
        DatasetError: the file exists, the disk is full, or the dataset to clone is missing or cannot be used.
        CheckpointError: the policy cannot be used, or belongs to another task.
        EnvError: unknown environment, or one without a packaged demonstrator.
    """
    if not overwrite:
        refuse_existing(plan)
    how = _How(workers, on_episode, on_check)
    if plan.source == "bc" and plan.dataset is not None and not plan.dataset.is_file():
        name = plan.dataset.stem
        if dataset_path(name) != plan.dataset or not _has_card(name):
            raise DatasetError(f"no dataset to clone at {plan.dataset}", "name one with --from, or collect it first.")
        _ensure(name, (), how)
    return how.carry_out(plan, overwrite=overwrite)


def ensure_datasets(
    names: Sequence[str],
    *,
    workers: int = 1,
    on_episode: Callable[[CollectProgress], None] | None = None,
    on_check: Callable[[CloneProgress], None] | None = None,
) -> list[Path]:
    """The files of datasets, those that are missing collected from their cards.

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
    how = _How(workers, on_episode, on_check)
    return [_ensure(name, (), how) for name in names]


def plan_of_card(card: DatasetCard, out: Path) -> Plan:
    """What a card says to collect, into the file ``out``.

    Raises:
        DatasetError: it has to be imported instead.
    """
    if card.source == "import" or card.n is None:
        raise _import_first(card, out)
    return Plan(
        source=card.source,
        env=EnvSection(id=card.env, kwargs=card.env_kwargs),
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


def _ensure(name: str, children: tuple[str, ...], how: _How) -> Path:
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
        _ensure(card.parent, (*children, name), how)
    _log.info(
        "Dataset %s is missing; making it from its card: %d episodes of %s in %s.", path, card.n, card.source, card.env
    )
    report = how.carry_out(wanted)
    success = report.measures.get("success_any")
    share = "" if success is None else f", success in {success:.1%} of {report.episodes} episodes"
    _log.info("Collected %s: %d transitions%s.", path, report.transitions, share)
    _refuse_other_content(name, path)
    return path


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
    if (meta.env_id, meta.env_kwargs) != (card.env, card.env_kwargs):
        raise DatasetError(
            f"{path} is of {meta.env_id} {meta.env_kwargs}, its card says {card.env} {card.env_kwargs}", hint
        )
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
    command = f"awac-tr data import FILE --format {kind} --env {card.env} --out {path}"
    return DatasetError(
        f"dataset {card.name} is not collected, but has to be imported: {card.description.strip()}", f"run: {command}"
    )
