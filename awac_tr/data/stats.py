"""What there is to know of a dataset file at a glance, as plain values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.format import ARRAYS
from awac_tr.data.hdf5 import open_hdf5, read_attributes
from awac_tr.data.paths import SUFFIXES
from awac_tr.data.reader import Dataset, open_dataset
from awac_tr.data.structure import find_arrays
from awac_tr.errors import AwacError, DatasetError

if TYPE_CHECKING:
    from awac_tr.envs.rollout import Episode

__all__ = ["dataset_info", "list_datasets"]

_FROM_ATTRIBUTES: Final = ("format_version", "created", "content_hash", "versions")


def dataset_info(path: str | Path) -> dict[str, Any]:
    """Origin, sizes and statistics of a dataset file.

    Args:
        path: an HDF5 file in our format, or any with D4RL's six arrays.

    Returns:
        Plain JSON values: ``path``, ``bytes``, ``format_version`` (None for files of others), ``meta`` (see
        :class:`DatasetMeta`), ``versions``, ``created``, ``content_hash``, ``transitions``, ``episodes``, ``terminals``
        and ``timeouts`` (rows with the flag), ``arrays`` (a list of name, dtype, shape, min, max), ``measures`` (mean,
        std, min, max over episodes of length, return and, where recorded, the success measures).

    Raises:
        DatasetError: the file cannot be read.
    """
    with open_dataset(path) as dataset:
        noted = {name: dataset.attributes.get(name) for name in _FROM_ATTRIBUTES}
        flags = dataset.arrays(("terminals", "timeouts"))
        return {
            "path": str(dataset.path),
            "bytes": dataset.path.stat().st_size,
            **noted,
            "versions": json.loads(noted["versions"]) if noted["versions"] else {},
            "meta": asdict(dataset.meta),
            "transitions": dataset.n_transitions,
            "episodes": dataset.n_episodes,
            **{name: int(flag.sum()) for name, flag in flags.items()},
            "arrays": [_array_info(dataset, name) for name in dataset.array_names],
            "measures": _measures(dataset),
        }


def _array_info(dataset: Dataset, name: str) -> dict[str, Any]:
    """Type, shape and range of one array, read through once."""
    low, high = np.inf, -np.inf
    for start, stop in dataset.spans(name):
        rows = dataset.rows(name, start, stop)
        if rows.size and rows.dtype.kind in "fiub":
            low, high = min(low, float(rows.min())), max(high, float(rows.max()))
    described = {"name": name, "dtype": dataset.dtype(name).name, "shape": list(dataset.shape(name))}
    return described | {"min": low, "max": high}


def _measures(dataset: Dataset) -> dict[str, dict[str, float]]:
    from awac_tr.envs.measures import measure

    values = measure(_episodes(dataset), _goal_steps(dataset))
    return {
        name: {"mean": float(v.mean()), "std": float(v.std()), "min": float(v.min()), "max": float(v.max())}
        for name, v in values.items()
    }


def _goal_steps(dataset: Dataset) -> int | None:
    from awac_tr.envs.facts import env_facts

    try:
        return env_facts(dataset.meta.env_id, dataset.meta.env_kwargs).goal_steps if dataset.meta.env_id else None
    except AwacError:  # its environment need not be installed for a file to be looked at
        return None


def _episodes(dataset: Dataset) -> Iterator[Episode]:
    """All episodes with rewards and success; their states are not read."""
    from awac_tr.envs.rollout import Episode

    names = [name for name in ("rewards", "terminals", "timeouts", "infos/success") if name in dataset.array_names]
    whole = dataset.arrays(names)
    for start, stop in dataset.episode_bounds:
        rows = {name: array[start:stop] for name, array in whole.items()}
        infos = {"success": rows.pop("infos/success")} if "infos/success" in rows else {}
        blank = np.empty((stop - start, 0), dtype=np.float32)
        states = {name: blank for name in ARRAYS if name not in rows}
        yield Episode(**states, **rows, infos=infos, seed=-1)


def list_datasets(folder: Path) -> list[dict[str, Any]]:
    """The dataset files of a folder, by what they say about themselves; their rows are not read.

    Args:
        folder: where to look, its subfolders left out.

    Returns:
        One dict a file, by name: ``name``, ``path``, ``bytes``, ``env_id``, ``source``, ``episodes`` (None for files of
        others), ``transitions``, ``problem`` (empty, or why the file cannot be used).

    Raises:
        DatasetError: there is no such folder.
    """
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}", "Name one, or set AWAC_TR_DATA.")
    return [_entry(path) for path in sorted(folder.iterdir()) if path.name.endswith(SUFFIXES)]


def _entry(path: Path) -> dict[str, Any]:
    entry = {"name": path.name.removesuffix(path.suffix), "path": str(path), "bytes": path.stat().st_size}
    noted: dict[str, Any] = dict.fromkeys(("env_id", "source", "episodes", "transitions"))
    problem = ""
    try:
        with open_hdf5(path) as file:
            found, arrays = read_attributes(path, file), find_arrays(path, file, ours=False)
            rows = arrays["observations"].shape[0] if "observations" in arrays else None
            noted = {"env_id": found.get("env_id"), "source": found.get("source")}
            noted |= {"episodes": found.get("n_episodes"), "transitions": rows}
            problem = "" if found.get("complete", True) else "never finished"
    except DatasetError as error:
        problem = error.message
    return {**entry, **noted, "problem": problem}
