"""``--fix``: a mended copy of a dataset, with its parent's hash and a list of everything that was changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from awac_tr.data.format.findings import Finding
from awac_tr.data.format.meta import DatasetMeta, Parent
from awac_tr.data.format.spec import ARRAYS, EPISODES, INFOS, SEEDS
from awac_tr.data.storage.reader import Dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.examine import Examination, examine
from awac_tr.data.validation.fix_episode import EpisodeFix, counted
from awac_tr.data.validation.fix_plan import Plan, RefusalError, make_plan, sort_out
from awac_tr.data.validation.layout import episode_ends, without_last_states
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import EnvSection

__all__ = ["FixReport", "default_copy", "fix"]

_LOG = logging.getLogger(__name__)
_PASSES: Final = 4
"""One mend may bring another fault to light: rewards can be held against a rule only once rows are paired rightly."""

Array = np.ndarray[Any, Any]


@dataclass
class FixReport:
    """What mending did: ``path`` is the mended copy, None where there was nothing to mend.

    ``changes`` are in sentences, ``parent`` is the content hash of the file it was made from, ``left`` the findings
    above a note that the copy still has.
    """

    path: Path | None = None
    content_hash: str = ""
    parent: str = ""
    changes: list[str] = field(default_factory=list)
    left: list[Finding] = field(default_factory=list)


def default_copy(path: Path) -> Path:
    """Where the copy goes unless told otherwise.

    Example:
        >>> default_copy(Path("data/door.h5")).as_posix()
        'data/door-mended.hdf5'
    """
    return path.with_name(f"{path.stem}-mended.hdf5")


def fix(
    path: str | Path,
    out: str | Path | None = None,
    *,
    env: str | EnvSection | None = None,
    trust: bool = False,
    overwrite: bool = False,
) -> FixReport:
    """Write a copy of a dataset in which everything is mended that can be mended with certainty.

    Args:
        path: the file; never changed.
        out: the copy; None: ``NAME-mended.hdf5`` beside it.
        env: environment to hold the rows against; None: the one the file names.
        trust: import the code that the file names for its environment.
        overwrite: replace an existing copy.

    Raises:
        DatasetError: the file cannot be read, has faults that nobody can mend with certainty and our format does not
            hold (named in the message), or the copy cannot be written. Nothing is left behind.
        EnvError: ``env`` is unknown, or cannot be made.
    """
    source = Path(path)
    target = default_copy(source) if out is None else Path(out)
    if target.exists() and source.exists() and target.samefile(source):
        raise DatasetError(f"{source} is not mended in place", "Name another file with --out.")
    _refuse_existing(target, overwrite=overwrite)
    look = partial(examine, env=env, trust=trust)
    found, report = look(source), FixReport()
    plan = make_plan(found)
    if plan is None:
        report.left = sort_out(found.findings)[1]
        return report
    return _in_passes(found, plan, report, target, look, overwrite=overwrite)


def _in_passes(
    found: Examination,
    plan: Plan,
    report: FixReport,
    target: Path,
    look: Callable[[Path], Examination],
    *,
    overwrite: bool,
) -> FixReport:
    """Mend, look again, and mend what came to light; only the last copy gets the name."""
    source, meta, further = found.path, _meta(found, report), plan
    copies = [target.with_name(f"{target.name}.pass{number}") for number in range(_PASSES)]
    try:
        for copy in copies:
            with _named(copy, target):
                _write_pass(found, further, meta, report, copy)
            found = look(copy)
            again = make_plan(found, source)
            if again is None:
                break
            further = again
        _refuse_existing(target, overwrite=overwrite)
        found.path.replace(target)
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)
    report.path = target
    report.left = [finding for finding in found.findings if finding.severity != "note"]
    for change in report.changes:
        _LOG.info("%s: %s", source, change)
    return report


@contextmanager
def _named(copy: Path, target: Path) -> Iterator[None]:
    """Trouble with a copy that nobody knows of is trouble with the one that was asked for."""
    try:
        yield
    except DatasetError as error:
        raise type(error)(error.message.replace(str(copy), str(target)), error.hint) from error


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise DatasetError(f"{target} exists already", "Choose another name, or replace it with --force.")


def _write_pass(found: Examination, plan: Plan, meta: DatasetMeta, report: FixReport, copy: Path) -> None:
    changes = list(report.changes)
    with Dataset(found.path) as dataset:
        ends = plan.ends if found.ends is not None else episode_ends(dataset)
        changes += _flag_changes(found, plan, dataset)
        dry = EpisodeFix(plan.codes, found.context)
        # What is said in the file must be known before its rows are written, so rows are counted in a dry run.
        rows = sum(len(arrays["rewards"]) for arrays, *_ in _episodes(dataset, found, plan, ends, dry))
        report.changes = changes + dry.changes() + _dropped_arrays(dataset, ends)
        if not rows:
            raise RefusalError(f"nothing would be left of the dataset: {'; '.join(report.changes)}")
        about = replace(meta, extra={**meta.extra, "mended": report.changes})
        with DatasetWriter(copy, about, overwrite=True) as writer:
            for arrays, once, seed in _episodes(dataset, found, plan, ends, EpisodeFix(plan.codes, found.context)):
                writer.append(_episode(arrays, seed), per_episode=once)
            report.content_hash = writer.finish()


def _meta(found: Examination, report: FixReport) -> DatasetMeta:
    """The copy's: its parent is the file as it is, whatever hash that notes of itself."""
    with Dataset(found.path) as dataset:
        report.parent = dataset.compute_hash()
    meta = found.context.meta
    parent = Parent(found.path.stem, report.parent, meta.source)
    if not meta.env_id and found.context.env is not None:
        env = found.context.env.env
        meta = replace(meta, env_id=env.id, env_kwargs=env.kwargs, env_options=env.options)
    return replace(meta, parents=(parent,))


def _episodes(
    dataset: Dataset, found: Examination, plan: Plan, ends: Array, mender: EpisodeFix
) -> Iterator[tuple[dict[str, Array], dict[str, Array], int]]:
    """Mended episodes: (arrays, arrays of one row an episode, seed)."""
    names = [*ARRAYS, *(name for name in dataset.array_names if name.startswith(INFOS + "/"))]
    once = [name for name in dataset.array_names if name.startswith(EPISODES + "/") and _fits(dataset, name, ends)]
    terminals, leaks = set(plan.terminals.tolist()), set(plan.leaks.tolist())
    starts = np.concatenate([[0], ends[:-1] + 1])
    starts += np.isin(starts, plan.resets)
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if number in plan.copies:
            mender.counts["copies"] += 1
            continue
        arrays = {name: dataset.rows(name, start, end + 1).copy() for name in names if name != "observations"}
        shift = number if found.ends is None else 0
        arrays["observations"] = without_last_states(dataset, start, end + 1, shift).copy()
        terminal = end in terminals if found.ends is not None else bool(arrays["terminals"][-1])
        mended = mender.mend(arrays, terminal=terminal, leak=end in leaks)
        if mended is not None:
            rows = {name: dataset.rows(name, number, number + 1)[0] for name in once}
            seed = int(rows.pop(SEEDS, -1))
            yield mended, {name.removeprefix(EPISODES + "/"): row for name, row in rows.items()}, seed


def _fits(dataset: Dataset, name: str, ends: Array) -> bool:
    return dataset.shape(name)[:1] == (len(ends),)


def _dropped_arrays(dataset: Dataset, ends: Array) -> list[str]:
    names = [name for name in dataset.array_names if name.startswith(EPISODES + "/") and not _fits(dataset, name, ends)]
    return [f"{name} left out: not one row an episode" for name in names]


def _episode(arrays: dict[str, Array], seed: int) -> Any:
    from awac_tr.envs.episode import Episode

    infos = {name.removeprefix(INFOS + "/"): rows for name, rows in arrays.items() if name.startswith(INFOS + "/")}
    return Episode(**{name: arrays[name] for name in ARRAYS}, infos=infos, seed=seed)


def _flag_changes(found: Examination, plan: Plan, dataset: Dataset) -> list[str]:
    """What becomes of flags, types, hashes and counts."""
    counts = {finding.code: finding.count for finding in found.findings if finding.code in plan.codes}
    said = {
        "border-late": ("end flag", "moved to the row before"),
        "border-early": ("end flag", "moved to the row after"),
        "border-doubled": ("end flag", "beside another cleared, where states run on"),
        "autoreset": ("row", "dropped: a reset of the environment and no step"),
        "gap": ("end", "set where a border was not marked"),
        "false-terminal": ("terminal", "made a timeout: the environment does not end there"),
        "missed-terminal": ("timeout", "made a terminal: the environment ends there"),
        "both-ends": ("timeout", "cleared where terminals is set, too"),
        "extra-rows": ("observation", "dropped, the last of each episode: it is a next observation"),
    }
    changes = [counted(counts[code], *words) for code, words in said.items() if code in counts]
    if "open-end" in plan.codes:
        changes.append("timeouts set in the last row")
    changes += [
        f"{name} made {np.dtype(kind).name}, was {dataset.dtype(name)}"
        for name, kind in ARRAYS.items()
        if "dtype" in plan.codes and dataset.dtype(name) != np.dtype(kind)
    ]
    if plan.codes & {"hash", "count"}:
        changes.append("hashes and counts computed anew from the arrays as they are")
    return changes
