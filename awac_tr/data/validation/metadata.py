"""Does what a file says of itself fit its environment and its own arrays, and do its flags hold flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from awac_tr.data.format.findings import Finding, Severity
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.format.spec import EPISODES, FLAGS
from awac_tr.data.storage.reader import Dataset
from awac_tr.data.validation.base import Array, Context, RowList
from awac_tr.recipes.schema import differing_keys

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo

__all__ = ["count_findings", "env_findings", "flag_findings", "hash_findings", "metadata_findings"]

_TOLERANCE: Final = 1e-5
_SIDES: Final = ("action_low", "action_high")
_SEVERITY: Final[dict[str, Severity]] = {"reward": "error", "rescale_actions": "note"}


def env_findings(meta: DatasetMeta, env: EnvInfo) -> list[Finding]:
    """Is the file of the environment that it is used for, options and all.

    Another reward rule is an error: the numbers mean something else. What wrappers and arguments change cannot be
    known: a warning. Actions in other units are a note: loading converts them.
    """
    if not meta.env_id:
        return []
    if meta.env.name != env.id:
        return [Finding("warning", "other-env", "env_id", f"made in {meta.env_id}, used for {env.id}")]
    found = []
    for key, text in differing_keys(meta.env, env.env).items():
        severity = _SEVERITY.get(key, "warning")
        where = "env_kwargs" if key == "kwargs" else "env_options"
        found.append(Finding(severity, "other-env", where, f"made with {text} as in the environment it is used for"))
    return found


def metadata_findings(context: Context) -> list[Finding]:
    """Bounds and horizon as noted, against those of the environment."""
    if not context.ours or context.env is None:
        return []
    found, meta = [], context.meta
    for name, expected in zip(_SIDES, _expected_bounds(context.env, meta), strict=True):
        noted = np.asarray(getattr(meta, name), dtype=np.float32)
        if noted.shape == expected.shape and np.abs(noted - expected).max(initial=0) > _TOLERANCE:
            entry = int(np.argmax(np.abs(noted - expected)))
            message = f"entry {entry} is {noted[entry]:g}, {context.env.id} has {expected[entry]:g}"
            found.append(Finding("warning", "bounds-env", name, message))
    if meta.horizon and meta.horizon != context.env.horizon:
        message = f"{meta.horizon} steps, {context.env.id} is registered with {context.env.horizon}"
        found.append(Finding("note", "horizon-env", "horizon", message))
    return found


def _expected_bounds(env: EnvInfo, meta: DatasetMeta) -> tuple[Array, Array]:
    """Bounds [a] float32 that a file should note: -1 and 1 where its actions are scaled, else the environment's own."""
    if meta.env_id and meta.env.rescale_actions:
        one = np.ones(env.action_size, np.float32)
        return -one, one
    low, high = env.raw_bounds or env.action_bounds or (meta.action_low, meta.action_high)
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def flag_findings(dataset: Dataset) -> list[Finding]:
    """Flags that are stored as numbers, and hold other numbers than 0 and 1."""
    found = []
    for name in FLAGS:
        if dataset.dtype(name).kind == "b":
            continue
        odd = RowList()
        for start, stop in dataset.spans(name):
            flags = dataset._raw_rows(name, start, stop)  # noqa: SLF001  (rows() makes bools of them)
            odd.add(np.asarray((flags != 0) & (flags != 1)), start)
        found += odd.finding("flag-values", name)
    return found


def hash_findings(dataset: Dataset, known: Mapping[str, str]) -> list[Finding]:
    """Hashes noted in a file of ours against those computed just now; of other arrays the noted one is believed."""
    changed = [name for name, digest in known.items() if dataset.stored_hash(name) != digest]
    message = "its bytes do not match the hash in the file"
    findings = [Finding("error", "hash", name, message) for name in changed]
    if dataset.noted_hash(known) != dataset.content_hash and not findings:
        findings.append(Finding("error", "hash", "content_hash", "does not match the arrays of the file"))
    return findings


def count_findings(dataset: Dataset, episodes: int) -> list[Finding]:
    """Numbers of rows and episodes as noted, and one row an episode where the format says so."""
    noted = {name: dataset.attributes.get(name) for name in ("n_transitions", "n_episodes")}
    counted = {"n_transitions": dataset.n_transitions, "n_episodes": episodes}
    for name in dataset.array_names:
        if name.startswith(EPISODES + "/"):
            noted[name], counted[name] = (dataset.shape(name) or (None,))[0], episodes
    return [
        Finding("error", "count", name, f"says {noted[name]}, the file has {counted[name]}")
        for name in counted
        if noted[name] != counted[name]
    ]
