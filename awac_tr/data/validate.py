"""Validation of dataset files: on load (refusing) and on request (listing everything)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from awac_tr.data.checks import RowCheck, size_findings
from awac_tr.data.findings import Finding, errors_of, report, worst_first
from awac_tr.data.format import ARRAYS, EPISODES
from awac_tr.data.hashing import ArrayHash
from awac_tr.data.reader import Dataset
from awac_tr.errors import AwacError

if TYPE_CHECKING:
    from awac_tr.envs.facts import EnvFacts

__all__ = ["scan", "validate"]

Array = np.ndarray[Any, Any]
See = Callable[[int, Mapping[str, Array]], None]

_CHANGED = "The file was changed after it was written: make it again."


def validate(path: str | Path) -> list[Finding]:
    """Everything that is wrong with a dataset file, worst first.

    Args:
        path: an HDF5 file in our format, or any with D4RL's six arrays.

    Raises:
        DatasetError: the file cannot be read at all: missing, truncated, no HDF5, of a newer version, leading outside.
    """
    with Dataset(path) as dataset:
        findings = list(dataset.findings)
        if not errors_of(findings):
            env, unknown = _env_of(dataset)
            findings += unknown + _content_findings(dataset, env, everything=True)
            findings += _count_findings(dataset)
    return worst_first(findings)


def scan(dataset: Dataset, *, env: EnvFacts | None, see: See | None = None) -> None:
    """Read the six arrays once, validating them on the way; warnings are logged.

    Args:
        dataset: an open file.
        env: environment it must fit; None: only its own bounds are looked at.
        see: given every block, as its first row and array name -> rows; nothing is certain before the end.

    Raises:
        DatasetError: something is wrong; everything in one message.
    """
    findings = _content_findings(dataset, env, everything=False, see=see)
    if env is not None and dataset.meta.env_id and dataset.meta.env_id != env.id:
        message = f"made in {dataset.meta.env_id}, used for {env.id}"
        findings.append(Finding("warning", "other-env", "env_id", message))
    report(dataset.path, findings)


def _env_of(dataset: Dataset) -> tuple[EnvFacts | None, list[Finding]]:
    """Facts of the environment a file names, where this machine knows it."""
    if not dataset.meta.env_id:
        return None, []
    from awac_tr.envs.facts import env_facts

    try:
        return env_facts(dataset.meta.env_id, dataset.meta.env_kwargs), []
    except AwacError as error:
        message = f"{error.message}: sizes and rewards were not checked against it"
        return None, [Finding("note", "unknown-env", "env_id", message)]


def _content_findings(
    dataset: Dataset, env: EnvFacts | None, *, everything: bool, see: See | None = None
) -> list[Finding]:
    """Sizes, rows and hashes; ``everything`` also hashes the optional arrays."""
    sizes = {name: dataset.shape(name)[1] for name in ("observations", "actions")}
    findings = size_findings(sizes, env) if env is not None else []
    check = RowCheck(dataset.meta, env=env, ours=dataset.ours)
    hashes = {name: ArrayHash(kind, dataset.shape(name)[1:]) for name, kind in ARRAYS.items()} if dataset.ours else {}
    for start, block in dataset.blocks(ARRAYS):
        check.feed(block)
        for name, digest in hashes.items():
            digest.update(block[name])
        if see is not None:
            see(start, block)
    findings += check.findings()
    return findings + (_hash_findings(dataset, hashes, everything=everything) if dataset.ours else [])


def _hash_findings(dataset: Dataset, hashes: Mapping[str, ArrayHash], *, everything: bool) -> list[Finding]:
    known = {name: digest.hexdigest() for name, digest in hashes.items()}
    if everything:
        known |= {name: dataset.hash_array(name).hexdigest() for name in dataset.array_names if name not in known}
    changed = [name for name, digest in known.items() if dataset.stored_hash(name) != digest]
    message = "its bytes do not match the hash in the file"
    findings = [Finding("error", "hash", name, message, _CHANGED) for name in changed]
    if dataset.noted_hash(known) != dataset.content_hash and not findings:
        findings.append(Finding("error", "hash", "content_hash", "does not match the arrays of the file", _CHANGED))
    return findings


def _count_findings(dataset: Dataset) -> list[Finding]:
    """Numbers of rows and episodes as noted, and one row an episode where the format says so."""
    if not dataset.ours:
        return []
    noted = {name: dataset.attributes.get(name) for name in ("n_transitions", "n_episodes")}
    counted = {"n_transitions": dataset.n_transitions, "n_episodes": dataset.n_episodes}
    for name in dataset.array_names:
        if name.startswith(EPISODES + "/"):
            noted[name], counted[name] = (dataset.shape(name) or (None,))[0], dataset.n_episodes
    return [
        Finding("error", "count", name, f"says {noted[name]}, the file has {counted[name]}", _CHANGED)
        for name in counted
        if noted[name] != counted[name]
    ]
