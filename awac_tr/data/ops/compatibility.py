"""May these files become one: the same task, sizes, bounds and simulator; and what the one says of itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from awac_tr.data.format.meta import DatasetMeta, versions
from awac_tr.data.storage.reader import Dataset
from awac_tr.errors import DatasetError

__all__ = ["MIXED", "SIMULATOR", "common_meta", "common_versions", "refuse_disagreement", "versions_of"]

_LOG = logging.getLogger(__name__)

SIMULATOR: Final = ("gymnasium", "gymnasium_robotics", "mujoco")
"""Packages whose version changes what happens in an episode."""

MIXED: Final = "mixed"
"""``source`` of a file whose parents differ in theirs."""

_UNSTATED: Final = "NOASSERTION"


def refuse_disagreement(datasets: Sequence[Dataset], *, allow_version_mismatch: bool) -> list[str]:
    """Hold every file against the first; gives notes on what differs and was allowed.

    Raises:
        DatasetError: they differ, all differences in one message; versions of the simulator unless that is allowed.
    """
    first, *others = datasets
    faults, mismatches = [], []
    for other in others:
        for name, value in _facts(other).items():
            expected = _facts(first)[name]
            if value != expected:
                faults.append(f"{name}: {other.path} has {_said(value)}, {first.path} {_said(expected)}")
        theirs, ours = versions_of(other), versions_of(first)
        mismatches += [
            f"{name}: {other.path} was made with {theirs[name]}, {first.path} with {ours[name]}"
            for name in SIMULATOR
            if name in theirs and name in ours and theirs[name] != ours[name]
        ]
    if faults:
        hint = "Only files of one task can be merged."
        raise DatasetError("the datasets are not of one task", hint, details=faults)
    if mismatches and not allow_version_mismatch:
        hint = "Physics differs between versions. To merge them all the same: --allow-version-mismatch."
        raise DatasetError("the datasets come from different simulators", hint, details=mismatches)
    for text in mismatches:
        _LOG.warning("%s", text)
    return mismatches


def _facts(dataset: Dataset) -> dict[str, Any]:
    meta = dataset.meta
    return {
        "environment": meta.env_id.rpartition(":")[2],
        "environment arguments": meta.env_kwargs,
        "environment options": meta.env_options,
        "horizon": meta.horizon,
        "action_low": meta.action_low,
        "action_high": meta.action_high,
        "observation size": dataset.shape("observations")[1],
        "action size": dataset.shape("actions")[1],
    }


def _said(value: Any) -> str:
    text = "none" if value is None or value == "" else str(value)
    return text if len(text) < 80 else f"{text[:77]}..."  # noqa: PLR2004  (a line of a screen)


def versions_of(dataset: Dataset) -> dict[str, str]:
    """Package -> version as noted; none where the attribute is absent or is not of that kind."""
    try:
        found = json.loads(dataset.attributes.get("versions") or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    return {str(name): str(version) for name, version in found.items()} if isinstance(found, dict) else {}


def common_versions(datasets: Sequence[Dataset]) -> dict[str, str]:
    """Versions for a file made of others: the simulator's where they agree, of the other packages those in use."""
    noted = [versions_of(dataset) for dataset in datasets]
    found = {name: version for name, version in versions().items() if name not in SIMULATOR}
    for name in SIMULATOR:
        known = {each.get(name) for each in noted}
        version = known.pop() if len(known) == 1 else None
        if version is not None:
            found[name] = version
    return found


def common_meta(datasets: Sequence[Dataset], *, description: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """What files that agree have in common, as arguments of :class:`DatasetMeta`, parents left out.

    Licences are joined by AND, one that is not stated as NOASSERTION: the whole may be used where every part may.
    Without a description theirs is taken, where it is the same; what all of them note alike is kept beside ``extra``.
    """
    metas = [dataset.meta for dataset in datasets]
    first = metas[0]
    licences = list(dict.fromkeys(meta.licence or _UNSTATED for meta in metas))
    shared = {key: value for key, value in first.extra.items() if all(meta.extra.get(key) == value for meta in metas)}
    return {
        "env_id": first.env_id,
        "env_kwargs": first.env_kwargs,
        "env_options": first.env_options,
        "horizon": first.horizon,
        "action_low": first.action_low,
        "action_high": first.action_high,
        "source": _same(metas, "source", MIXED),
        "policy": "; ".join(dict.fromkeys(meta.policy for meta in metas if meta.policy)),
        "seed": _same(metas, "seed", None),
        "licence": first.licence if len(licences) == 1 else " AND ".join(licences),
        "description": description or _same(metas, "description", ""),
        "extra": {**shared, **extra},
    }


def _same(metas: Sequence[DatasetMeta], name: str, otherwise: Any) -> Any:
    values = [getattr(meta, name) for meta in metas]
    return values[0] if all(value == values[0] for value in values) else otherwise
