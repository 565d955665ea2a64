"""Does a file have the shape of a dataset: format and version, the six arrays, their sizes and types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from awac_tr.data.format.findings import Finding
from awac_tr.data.format.spec import ARRAYS, EPISODES, FLAGS, FORMAT, INFOS, MATRICES, VERSION
from awac_tr.data.storage.hdf5 import array_of
from awac_tr.errors import DatasetError

__all__ = ["find_arrays", "is_ours", "structure_findings"]

Arrays = Mapping[str, h5py.Dataset]

_NUMBERS: Final = "fiub"
"""Kinds of numpy types: float, int, unsigned, bool."""


def is_ours(path: Path, attributes: Mapping[str, Any]) -> bool:
    """True for a file in our format, False for one without our attributes (D4RL-flat, to be read as it stands).

    Raises:
        DatasetError: another format, or a version this awac-tr does not know.
    """
    if "format" not in attributes:
        return False
    if attributes["format"] != FORMAT:
        message = f"dataset {path} says it has the format {attributes['format']!r}, not {FORMAT!r}"
        raise DatasetError(message, "It is a file of another tool.")
    version = attributes.get("format_version")
    if not isinstance(version, int | np.integer) or version < 1:
        raise DatasetError(f"dataset {path} has no valid format_version (found {version!r})")
    if version > VERSION:
        message = f"dataset {path} has format version {version}; this awac-tr reads versions up to {VERSION}"
        raise DatasetError(message, "Upgrade awac-tr.")
    return True


def find_arrays(path: Path, file: h5py.File, *, ours: bool) -> dict[str, h5py.Dataset]:
    """The arrays of a file that the format knows: the six, ``infos/*`` and ``episodes/*``.

    Of files that are not ours, optional arrays that do not keep to the format are left out: others put anything there.

    Raises:
        DatasetError: an array has its data elsewhere, or none.
    """
    names = list(ARRAYS)
    for folder in (INFOS, EPISODES):
        group = file.get(folder)
        names += [f"{folder}/{name}" for name in group] if isinstance(group, h5py.Group) else []
    found = {name: array_of(path, file, name) for name in names}
    empty = [name for name, array in found.items() if array is not None and array.shape is None]
    if empty and (ours or set(empty) & set(ARRAYS)):
        raise DatasetError(f"dataset {path}: {empty[0]} has no rows and no shape", "The file was edited by hand.")
    arrays = {name: array for name, array in found.items() if array is not None and name not in empty}
    if ours or "observations" not in arrays:
        return arrays
    rows = arrays["observations"].shape[:1]
    return {
        name: array
        for name, array in arrays.items()
        if name in ARRAYS or (name.startswith(INFOS) and array.dtype.kind in _NUMBERS and array.shape[:1] == rows)
    }


def structure_findings(arrays: Arrays, attributes: Mapping[str, Any], *, ours: bool) -> list[Finding]:
    """Everything wrong with a file before its rows are looked at; of ours, exact types are asked for."""
    findings = [_missing(name) for name in ARRAYS if name not in arrays]
    for name, array in arrays.items():
        findings += _kind_findings(name, array, ours=ours) if name in ARRAYS else _optional_findings(name, array)
    findings += _row_findings(arrays, ours=ours)
    if ours and not bool(attributes.get("complete", False)):
        findings.append(Finding("error", "incomplete", "complete", "the file was never finished", "Collect it again."))
    return findings


def _missing(name: str) -> Finding:
    if name in FLAGS:
        message = "missing: without it the end of a task cannot be told from a cut, and values would come out wrong"
        remedy = "Write terminals (the task ended) and timeouts (the episode was cut), one bool a row."
    elif name == "next_observations":
        message = "missing: the state that follows the last row of an episode cannot be made up"
        remedy = "Write next_observations, one row a transition."
    else:
        message, remedy = "missing", "A dataset has " + ", ".join(ARRAYS) + "."
    return Finding("error", "missing-array", name, message, remedy)


def _kind_findings(name: str, array: h5py.Dataset, *, ours: bool) -> list[Finding]:
    """Number of axes and type of one of the six arrays."""
    axes = 2 if name in MATRICES else 1
    if array.ndim != axes:
        message = f"has shape {array.shape}, expected {axes} axes"
        return [Finding("error", "shape", name, message, "One row a transition.")]
    expected = np.dtype(ARRAYS[name])
    if array.dtype == expected:
        return []
    if ours or array.dtype.kind not in _NUMBERS:
        remedy = f"Store it as {expected.name}."
        message = f"has type {array.dtype}, expected {expected.name}"
        # nothing is lost on the way to the format's type, and nothing was before: actions as integers lost fractions
        fixable = array.dtype.kind in ("fb" if name == "actions" else _NUMBERS)
        return [Finding("error", "dtype", name, message, remedy, fixable=fixable)]
    return [Finding("note", "dtype", name, f"has type {array.dtype}, is read as {expected.name}")]


def _optional_findings(name: str, array: h5py.Dataset) -> list[Finding]:
    if array.dtype.kind in _NUMBERS and array.ndim:
        return []
    message = f"has type {array.dtype} and shape {array.shape}, expected rows of numbers or bools"
    return [Finding("error", "dtype", name, message, "Leave it out.", fixable=False)]


def _row_findings(arrays: Arrays, *, ours: bool) -> list[Finding]:
    """Do all arrays agree on the number of rows, and states on their width."""
    if "observations" not in arrays or arrays["observations"].ndim == 0:
        return []
    rows, findings = arrays["observations"].shape[0], []
    if rows == 0:
        findings.append(Finding("error", "empty", "observations", "holds no transition"))
    for name, array in arrays.items():
        found = array.shape[0] if array.ndim else None
        if not name.startswith(EPISODES) and found != rows and (ours or name in ARRAYS):
            message = f"has {found} rows, observations has {rows}"
            findings.append(Finding("error", "rows", name, message, "Every array has one row a transition."))
    widths = [arrays[name].shape[1:] for name in ("observations", "next_observations") if name in arrays]
    if len(set(widths)) > 1:
        message = f"has rows of shape {widths[1]}, observations of {widths[0]}"
        findings.append(Finding("error", "width", "next_observations", message, "Both hold the same kind of state."))
    return findings
