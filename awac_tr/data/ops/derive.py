"""Episodes of a file sent to other files in one pass over its blocks; what merging, splitting and filtering share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from awac_tr.data.format.hashing import ArrayHash
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.format.spec import ARRAYS, EPISODES, INFOS, SEEDS
from awac_tr.data.ops.compatibility import common_meta, common_versions
from awac_tr.data.ops.provenance import ORIGIN, ORIGIN_EPISODE, SOURCES, as_parent, provenance_of
from awac_tr.data.storage.reader import Dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import DatasetError

__all__ = ["NOWHERE", "Derived", "Target", "common_arrays", "copy_episodes", "derive"]

_LOG = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]

NOWHERE: Final = -1
"""Destination of an episode that is left out."""

_MADE_ANEW: Final = (SEEDS, ORIGIN, ORIGIN_EPISODE)


def common_arrays(datasets: Sequence[Dataset]) -> tuple[list[str], dict[str, str]]:
    """The optional arrays that all files have with one type and row shape; they can be stored together.

    Returns:
        (their names, name -> why not of each array that only some have or that differs).
    """
    names = {name for dataset in datasets for name in dataset.array_names}
    optional = sorted(name for name in names if name not in ARRAYS and name not in _MADE_ANEW)
    common, left_out = [], {}
    for name in optional:
        lacking = [dataset.path.name for dataset in datasets if name not in dataset.array_names]
        kinds = {(d.dtype(name), d.shape(name)[1:]) for d in datasets if name in d.array_names}
        if lacking:
            left_out[name] = f"not in {', '.join(lacking)}"
        elif len(kinds) > 1:
            left_out[name] = "of several types or shapes"
        else:
            common.append(name)
    return common, left_out


def copy_episodes(
    dataset: Dataset,
    destinations: Array,
    writers: Sequence[DatasetWriter],
    optional: Sequence[str],
    origins: Mapping[str, Array],
) -> None:
    """Copy episodes into other files, in their order; what is read is checked against its hash.

    Args:
        dataset: where they are.
        destinations: [E] int: for each episode the writer it goes to, :data:`NOWHERE` for none.
        writers: open writers.
        optional: further arrays to be copied, see :func:`common_arrays`.
        origins: name -> [E, ...]: arrays with a row an episode to be stored beside the file's own.

    Raises:
        DatasetError: the file is damaged or unsound, or a writer cannot go on.
    """
    infos = [name for name in optional if name.startswith(INFOS + "/")]
    once = [name for name in optional if name.startswith(EPISODES + "/")]
    hashes: dict[str, ArrayHash] = {}
    bounds = dataset.episode_bounds
    for start, block in dataset.blocks([*ARRAYS, *infos]):
        _add(hashes, dataset, block)
        stop = start + len(block["rewards"])
        first, last = np.searchsorted(bounds[:, 1], [start, stop - 1], side="right")
        lengths = np.diff(np.clip(bounds[first : last + 1].ravel(), start, stop))[::2]
        rows = block if dataset.ours else _mended(block, last_one=stop == dataset.n_transitions)
        _hand_out(dataset, rows, np.repeat(destinations[first : last + 1], lengths), writers)
    if once:
        for start, block in dataset.blocks(once):
            _add(hashes, dataset, block)
            _hand_out(dataset, block, destinations[start : start + len(block[once[0]])], writers)
    if SEEDS in dataset.array_names:
        seeds = dataset.rows(SEEDS)
        _add(hashes, dataset, {SEEDS: seeds})
    else:
        seeds = np.full(len(bounds), -1)
    _hand_out(dataset, {SEEDS: seeds.astype("<i8"), **origins}, destinations, writers)
    _refuse_changed(dataset, hashes)


def _add(hashes: dict[str, ArrayHash], dataset: Dataset, block: Mapping[str, Array]) -> None:
    for name, rows in block.items() if dataset.ours else ():
        if name not in hashes:
            hashes[name] = ArrayHash(rows.dtype.newbyteorder("<").str, rows.shape[1:])
        hashes[name].update(rows)


def _mended(block: Mapping[str, Array], *, last_one: bool) -> dict[str, Array]:
    """Rows of others as ours: a task that ended was not cut, and the last row of a file ends its episode."""
    timeouts = block["timeouts"] & ~block["terminals"]
    if last_one:
        timeouts[-1] = not block["terminals"][-1]
    return {**block, "timeouts": timeouts}


def _hand_out(
    dataset: Dataset, block: Mapping[str, Array], destinations: Array, writers: Sequence[DatasetWriter]
) -> None:
    for place, writer in enumerate(writers):
        chosen = destinations == place
        if not chosen.any():
            continue
        # a gap within what is kept of an episode cannot be: episodes go whole
        rows = block if chosen.all() else {name: array[chosen] for name, array in block.items()}
        try:
            writer.extend(rows)
        except DatasetError as error:
            raise DatasetError(f"dataset {dataset.path}: {error.message}", error.hint) from error


def _refuse_changed(dataset: Dataset, hashes: Mapping[str, ArrayHash]) -> None:
    known = {name: digest.hexdigest() for name, digest in hashes.items()}
    changed = [name for name, digest in known.items() if dataset.stored_hash(name) != digest]
    if changed or (dataset.ours and dataset.noted_hash(known) != dataset.content_hash):
        what = ", ".join(changed) or "its attributes"
        message = f"dataset {dataset.path}: {what}: the bytes do not match the hash in the file"
        raise DatasetError(message, "The file was changed after it was written: make it again.")


@dataclass(frozen=True)
class Target:
    """A file to be made.

    ``made_by`` says what is done, plain JSON, for ``extra["made_by"]``; an empty description is the parent's.
    """

    path: Path
    made_by: dict[str, Any]
    description: str = ""


@dataclass(frozen=True)
class Derived:
    """A file that was made."""

    path: Path
    content_hash: str
    episodes: int
    transitions: int


def derive(dataset: Dataset, destinations: Array, targets: Sequence[Target], *, overwrite: bool) -> list[Derived]:
    """Copy episodes of a file into new files, in their order; either all files appear or none.

    Args:
        dataset: where the episodes are.
        destinations: [E] int, for each episode the target it goes to, -1 for none.
        targets: at least one episode goes to each.
        overwrite: replace files that exist.

    Raises:
        DatasetError: a file exists or cannot be written, or the dataset is damaged.
    """
    here = dataset.path.resolve()
    for target in targets:
        if target.path.resolve() == here:
            raise DatasetError(f"{target.path} is the file to be read", "Name another file to make.")
    if len({target.path.resolve() for target in targets}) < len(targets):
        raise DatasetError("two parts would have the same file", "Write {part} in the name of the files.")
    optional, _ = common_arrays([dataset])
    versions = common_versions([dataset])
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                DatasetWriter(target.path, _meta(dataset, target), overwrite=overwrite, versions=versions)
            )
            for target in targets
        ]
        copy_episodes(dataset, destinations, writers, optional, provenance_of(dataset).arrays())
        return _finished(writers)


def _meta(dataset: Dataset, target: Target) -> DatasetMeta:
    extra = {SOURCES: list(provenance_of(dataset).sources), "made_by": target.made_by}
    common = common_meta([dataset], description=target.description, extra=extra)
    return DatasetMeta(**common, parents=(as_parent(dataset),))


def _finished(writers: Sequence[DatasetWriter]) -> list[Derived]:
    done: list[Derived] = []
    try:
        for writer in writers:
            digest = writer.finish()
            done.append(Derived(writer.path, digest, writer.episodes, writer.transitions))
    except BaseException:
        for derived in done:
            derived.path.unlink(missing_ok=True)
            _LOG.info("%s is removed: another part could not be written", derived.path)
        raise
    return done
