"""N + 1 against N: arrays that hold one row an episode more than there are actions."""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.format.findings import Finding
from awac_tr.data.format.spec import ARRAYS, FLAGS
from awac_tr.data.storage.reader import Dataset
from awac_tr.data.validation.base import Array

__all__ = ["episode_ends", "extra_row_findings", "without_last_states"]

_EXTRA: Final = "observations"


def extra_row_findings(dataset: Dataset) -> list[Finding]:
    """The findings about a file's structure, with row counts that are off by one an episode named as what they are."""
    findings = dataset.findings
    if not any(finding.code == "rows" for finding in findings) or not _comparable(dataset):
        return list(findings)
    rows = {name: dataset.shape(name)[0] for name in ARRAYS if name in dataset.array_names}
    base, episodes = rows["actions"], len(episode_ends(dataset))
    odd = {name: count for name, count in rows.items() if count != base}
    if not odd or any(count != base + episodes for count in odd.values()):
        return list(findings)
    found = [finding for finding in findings if finding.code != "rows"]
    sure = set(odd) == {_EXTRA} and _confirmed(dataset)
    for name, count in odd.items():
        message = f"has {count:,} rows for {base:,} actions: one more in each of {episodes:,} episodes"
        remedy = "" if name == _EXTRA else "Drop the row that belongs to no action (usually the first, of the reset)."
        found.append(Finding("error", "extra-rows", name, message, remedy, count=episodes, fixable=sure))
    return found


def _comparable(dataset: Dataset) -> bool:
    """Flags and actions agree on the number of rows."""
    names = [*FLAGS, "actions"]
    if not set(names) <= set(dataset.array_names) or not all(dataset.shape(name) for name in ARRAYS if name in names):
        return False
    return len({dataset.shape(name)[0] for name in names}) == 1 and dataset.shape("actions")[0] > 0


def episode_ends(dataset: Dataset) -> Array:
    """Last row of every episode by the flags, a last one without an end included, [E] int64."""
    parts, rows = [], dataset.shape("actions")[0]
    for start, stop in dataset.spans("actions"):
        ended = dataset.rows("terminals", start, stop) | dataset.rows("timeouts", start, stop)
        parts.append(np.flatnonzero(ended) + start)
    ends = np.concatenate(parts)
    return ends if len(ends) and ends[-1] == rows - 1 else np.append(ends, rows - 1)


def without_last_states(dataset: Dataset, start: int, stop: int, episode: int) -> Array:
    """Observations of rows ``start:stop`` of one episode of a file that holds T + 1 of them an episode."""
    return dataset.rows(_EXTRA, start + episode, stop + episode)


def _confirmed(dataset: Dataset) -> bool:
    """The next observations say the same: each is the observation one further, also in the last row of an episode."""
    if (
        "next_observations" not in dataset.array_names
        or dataset.shape("next_observations")[1:] != dataset.shape(_EXTRA)[1:]
    ):
        return False
    start = 0
    for episode, end in enumerate(episode_ends(dataset)):
        following = dataset.rows(_EXTRA, start + episode + 1, int(end) + episode + 2)
        if not np.array_equal(following, dataset.rows("next_observations", start, int(end) + 1)):
            return False
        start = int(end) + 1
    return True
