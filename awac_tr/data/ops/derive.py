"""Files made of the episodes of one: what splitting and filtering share."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.ops.compatibility import common_meta, common_versions
from awac_tr.data.ops.copy import common_arrays, copy_episodes
from awac_tr.data.ops.provenance import SOURCES, as_parent, provenance_of
from awac_tr.data.storage.reader import Dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import DatasetError

__all__ = ["Derived", "Target", "derive"]

_LOG = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]


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
