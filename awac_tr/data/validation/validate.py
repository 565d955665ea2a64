"""Validation of dataset files: on load (refusing) and on request (listing everything)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from awac_tr.data.format.findings import Finding, report
from awac_tr.data.format.hashing import ArrayHash
from awac_tr.data.format.spec import ARRAYS
from awac_tr.data.storage.reader import Dataset
from awac_tr.data.validation.checks import RowCheck, size_findings
from awac_tr.data.validation.examine import Known, examine
from awac_tr.data.validation.metadata import env_findings, hash_findings

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.recipes.schema import EnvSection

__all__ = ["scan", "validate", "validate_files"]

Array = np.ndarray[Any, Any]
See = Callable[[int, Mapping[str, Array]], None]


def validate(path: str | Path, *, env: str | EnvSection | None = None, trust: bool = False) -> list[Finding]:
    """Everything that is wrong with a dataset file, worst first; docs/validation.md lists what is looked for.

    Args:
        path: an HDF5 file in our format, or any with D4RL's six arrays.
        env: environment to hold its rows against; None: the one the file names.
        trust: import the code that the file names for its environment; else there is a note, and less is checked.

    Raises:
        DatasetError: the file cannot be read at all: missing, truncated, no HDF5, of a newer version, leading outside.
        EnvError: ``env`` is unknown, or cannot be made.
    """
    return examine(path, env=env, trust=trust).findings


def validate_files(
    paths: Sequence[str | Path], *, env: str | EnvSection | None = None, trust: bool = False
) -> Iterator[tuple[Path, list[Finding]]]:
    """The same for files that are to be used together: episodes that lie in several of them are found.

    Yields:
        (path, findings) of each, in the order given; the arguments are those of :func:`validate`.
    """
    known: Known = {}
    for path in paths:
        yield Path(path), examine(path, env=env, trust=trust, known=known).findings


def scan(dataset: Dataset, *, env: EnvInfo | None, see: See | None = None, further: Sequence[str] = ()) -> None:
    """Read the six arrays once, validating them on the way; warnings are logged.

    Args:
        dataset: an open file.
        env: environment it must fit; None: only its own bounds are looked at.
        see: given every block, as its first row and array name -> rows; nothing is certain before the end.
        further: arrays of one row a transition to read beside the six; of these only the hashes are looked at.

    Raises:
        DatasetError: something is wrong; everything in one message.
    """
    findings = _content_findings(dataset, env, see, further)
    if env is not None:
        findings += env_findings(dataset.meta, env)
    report(dataset.path, findings)


def _content_findings(dataset: Dataset, env: EnvInfo | None, see: See | None, further: Sequence[str]) -> list[Finding]:
    """Sizes, rows, and hashes of what is read."""
    sizes = {name: dataset.shape(name)[1] for name in ("observations", "actions")}
    findings = size_findings(sizes, env) if env is not None else []
    meta = dataset.meta
    if env is not None and not dataset.ours:  # only assumed, and whoever loads holds actions to those of env
        meta = replace(meta, action_low=(), action_high=())
    check = RowCheck(meta, env=env, ours=dataset.ours)
    kinds = ARRAYS | {name: dataset.dtype(name).newbyteorder("<").str for name in further}
    hashes = {name: ArrayHash(kind, dataset.shape(name)[1:]) for name, kind in kinds.items()} if dataset.ours else {}
    for start, block in dataset.blocks(kinds):
        check.feed(block)
        for name, digest in hashes.items():
            digest.update(block[name])
        if see is not None:
            see(start, block)
    known = {name: digest.hexdigest() for name, digest in hashes.items()}
    return findings + check.findings() + (hash_findings(dataset, known) if dataset.ours else [])
