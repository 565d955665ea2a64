"""Several datasets of one task into one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.ops.compatibility import common_meta, common_versions, refuse_disagreement
from awac_tr.data.ops.derive import NOWHERE, common_arrays, copy_episodes
from awac_tr.data.ops.provenance import ORIGIN, ORIGIN_EPISODE, SOURCES, as_parent, joined, provenance_of
from awac_tr.data.storage.episode_table import episode_table
from awac_tr.data.storage.reader import Dataset, open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import DatasetError

__all__ = ["MergeReport", "merge"]

_LOG = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class MergeReport:
    """What was merged: of each input its path, hash, episodes, and how many of them had been met before."""

    path: Path
    content_hash: str
    episodes: int
    transitions: int
    inputs: list[dict[str, Any]]
    notes: list[str]


def merge(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    drop_duplicates: bool = False,
    allow_version_mismatch: bool = False,
    description: str = "",
    overwrite: bool = False,
) -> MergeReport:
    """Put the episodes of several files into one, file after file.

    Every episode keeps a note of the file it came from first (``episodes/source``, ``episodes/source_episode``). Memory
    goes with the number of episodes, not with that of the rows.

    Args:
        paths: at least two files of one task: environment, arguments, horizon, action bounds and sizes agree.
        out: the file to make.
        drop_duplicates: leave out episodes that were met before; else they are kept and said.
        allow_version_mismatch: files of different simulator versions are merged, and that is said.
        description: of the new file.
        overwrite: replace ``out``.

    Raises:
        DatasetError: the files differ, one is damaged, or ``out`` cannot be written.
    """
    if len(paths) < 2:  # noqa: PLR2004  (one cannot be merged)
        raise DatasetError("merging takes two datasets or more")
    _refuse_self(paths, out)
    with ExitStack() as stack:
        datasets = [stack.enter_context(open_dataset(path)) for path in paths]
        notes = refuse_disagreement(datasets, allow_version_mismatch=allow_version_mismatch)
        optional, left_out = common_arrays(datasets)
        absent = [f"{name} is left out: {reason}" for name, reason in left_out.items()]
        duplicates = _duplicates(datasets)
        notes += absent + _said(datasets, duplicates, dropped=drop_duplicates)
        origins = [provenance_of(dataset) for dataset in datasets]
        sources, places = joined(origins)
        meta, versions = _meta(datasets, description, sources), common_versions(datasets)
        with DatasetWriter(out, meta, overwrite=overwrite, versions=versions) as writer:
            for dataset, origin, place, met in zip(datasets, origins, places, duplicates, strict=True):
                arrays = {ORIGIN: place, ORIGIN_EPISODE: origin.episode}
                destinations = np.where(met & drop_duplicates, NOWHERE, 0)
                copy_episodes(dataset, destinations, [writer], optional, arrays)
            digest = writer.finish()
        inputs = [
            {"path": d.path, "hash": d.content_hash, "episodes": d.n_episodes, "duplicates": int(met.sum())}
            for d, met in zip(datasets, duplicates, strict=True)
        ]
    for note in absent:
        _LOG.info("%s", note)
    return MergeReport(Path(out), digest, writer.episodes, writer.transitions, inputs, notes)


def _refuse_self(paths: Sequence[str | Path], out: str | Path) -> None:
    if Path(out).resolve() in {Path(path).resolve() for path in paths}:
        raise DatasetError(f"{out} is one of the files to be read", "Name another file to make.")


def _duplicates(datasets: Sequence[Dataset]) -> list[Array]:
    """For each file which of its episodes [E] were met before, in it or in one before it."""
    met: set[bytes] = set()
    found = []
    for dataset in datasets:
        again = []
        for digest in episode_table(dataset, digests=True).digests:
            again.append(digest in met)
            met.add(digest)
        found.append(np.array(again, dtype=np.bool_))
    return found


def _said(datasets: Sequence[Dataset], duplicates: Sequence[Array], *, dropped: bool) -> list[str]:
    notes = []
    for dataset, met in zip(datasets, duplicates, strict=True):
        if met.any():
            what = "left out" if dropped else "kept; --drop-duplicates leaves them out"
            notes.append(f"{dataset.path}: {int(met.sum())} of {len(met)} episodes were met before: {what}")
            _LOG.warning("%s", notes[-1])
    return notes


def _meta(datasets: Sequence[Dataset], description: str, sources: list[Mapping[str, Any]]) -> DatasetMeta:
    names = ", ".join(dataset.path.stem for dataset in datasets)
    extra = {SOURCES: sources, "made_by": {"verb": "merge"}}
    common = common_meta(datasets, description=description or f"Merge of {names}.", extra=extra)
    return DatasetMeta(**common, parents=tuple(as_parent(dataset) for dataset in datasets))
