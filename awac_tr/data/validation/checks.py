"""Do the rows of a dataset make sense: numbers, bounds, rewards, episode borders. Vectorised, block by block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from awac_tr.data.format.findings import Finding, Severity
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.format.spec import ARRAYS, INFOS, MATRICES
from awac_tr.data.validation.base import Array, RowList

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.envs.episode import Episode

__all__ = ["RowCheck", "episode_findings", "size_findings"]

Rows = Mapping[str, Array]

_TOLERANCE: Final = 1e-5
"""By how much an action or a reward may pass its bound: a few roundings of float32."""

_COLLECTED: Final = ("demos", "bc", "ou", "random", "policy")
"""Sources that cut episodes at the horizon themselves, so that a longer one has lost an end."""


class RowCheck:
    """Looks at the rows of one file, in order, in blocks of any size.

    Args:
        meta: action bounds and horizon to hold rows against.
        env: the environment the rows claim to come from; None: reward checks are left out.
        ours: the file is in our format, so a doubtful border is an error and not only a warning.
        light: leave out what the families of :mod:`awac_tr.data.validation` look at more closely.
    """

    def __init__(
        self, meta: DatasetMeta, *, env: EnvInfo | None = None, ours: bool = True, light: bool = False
    ) -> None:
        self._low = np.asarray(meta.action_low, dtype=np.float32) - np.float32(_TOLERANCE)
        self._high = np.asarray(meta.action_high, dtype=np.float32) + np.float32(_TOLERANCE)
        self._horizon = meta.horizon
        self._env = env
        self._ours = ours
        self._light = light
        self._source = meta.source
        self._bad: dict[tuple[str, str], RowList] = {}
        self._last: tuple[Array, bool] | None = None
        self._open_rows = 0
        self._rows = 0

    def feed(self, block: Rows) -> None:
        """Look at the next rows: the six arrays, [n, ...] each."""
        for name in ("observations", "actions", "next_observations", "rewards"):
            self._finite(name, block[name])
        self._add("both-ends", "timeouts", block["terminals"] & block["timeouts"])
        if not self._light:
            self._bounds(block["actions"])
            self._rewards(block)
            self._borders(block)
        self._lengths(block["terminals"] | block["timeouts"])
        self._rows += len(block["rewards"])

    def _add(self, code: str, array: str, bad: Array, offset: int = 0) -> None:
        if bad.any():
            self._bad.setdefault((code, array), RowList()).add(bad, self._rows + offset)

    def _finite(self, name: str, rows: Array) -> None:
        # A sum is NaN or infinite wherever an entry is, and cheaper than a look at each; float64 cannot overflow.
        with np.errstate(invalid="ignore"):
            total = rows.sum(dtype=np.float64)
        if not np.isfinite(total):
            bad: Array = ~np.isfinite(rows.reshape(len(rows), -1))
            self._add("not-finite", name, np.asarray(bad.any(axis=1)))

    def _bounds(self, actions: Array) -> None:
        if len(self._low) == actions.shape[1]:
            outside: Array = (actions < self._low) | (actions > self._high)
            self._add("action-bounds", "actions", np.asarray(outside.any(axis=1)))

    def _rewards(self, block: Rows) -> None:
        if self._env is None:
            return
        low, high = self._env.reward_range
        rewards = block["rewards"]
        self._add("reward-range", "rewards", (rewards < low - _TOLERANCE) | (rewards > high + _TOLERANCE))
        states = block["next_observations"]
        if self._env.reward_rule is not None and states.shape[1] == self._env.observation_size:
            self._add("reward-rule", "rewards", np.abs(rewards - self._env.reward_rule(states)) > _TOLERANCE)

    def _borders(self, block: Rows) -> None:
        """Within an episode the next state is the next row's state; across a border it is not."""
        ends = block["terminals"] | block["timeouts"]
        states, following = block["observations"], block["next_observations"]
        joined = (following[:-1] == states[1:]).all(axis=1)
        self._add("gap", "next_observations", ~joined & ~ends[:-1])
        self._add("leak", "next_observations", joined & ends[:-1])
        if self._last is not None and len(states):
            same, ended = bool((self._last[0] == states[0]).all()), self._last[1]
            self._add("gap", "next_observations", np.array([not same and not ended]), -1)
            self._add("leak", "next_observations", np.array([same and ended]), -1)
        if len(states):
            self._last = (following[-1].copy(), bool(ends[-1]))

    def _lengths(self, ends: Array) -> None:
        """Position of every row in its episode, to find those beyond the horizon and the length of an open last one."""
        if not len(ends):
            return
        rows = np.arange(len(ends))
        first = np.zeros(len(ends), dtype=np.int64)
        first[1:] = np.maximum.accumulate(np.where(ends[:-1], rows[1:], 0))
        position = rows - first + np.where(first == 0, self._open_rows, 0)
        if self._horizon is not None:
            self._add("length", "timeouts", position >= self._horizon)
        self._open_rows = 0 if ends[-1] else int(position[-1]) + 1

    def findings(self) -> list[Finding]:
        """Everything found in the rows so far, taken as the whole file."""
        found = [
            finding
            for (code, array), rows in self._bad.items()
            for finding in rows.finding(code, array, severity=self._severity(code))
        ]
        if self._open_rows:
            found.append(self._open_end())
        return found

    def _open_end(self) -> Finding:
        message = f"the last episode ({self._open_rows:,} rows) has no end: no flag is set in the last row"
        if self._ours:
            return Finding("error", "open-end", "timeouts", message)
        # Recorders of others stop in mid-episode; that no row of all has an end is another matter.
        severity: Severity = "warning" if self._open_rows == self._rows else "note"
        return Finding(severity, "open-end", "timeouts", f"{message}; read as cut there")

    def _severity(self, code: str) -> Severity:
        if code == "length":
            return "warning" if self._source in _COLLECTED else "note"
        if code == "both-ends" and not self._ours:
            return "note"
        if code in ("leak", "reward-rule"):
            return "warning"
        return "error" if self._ours or code not in ("gap", "action-bounds") else "warning"


def size_findings(sizes: Mapping[str, int], env: EnvInfo) -> list[Finding]:
    """Do the widths of a file, numbers a row of ``observations`` and ``actions``, fit an environment."""
    wanted_sizes = {"observations": env.observation_size, "actions": env.action_size}
    remedy = "The file was made in another environment."
    return [
        Finding("error", "size", name, f"rows of {sizes[name]} numbers, {env.id} has {wanted}", remedy)
        for name, wanted in wanted_sizes.items()
        if sizes[name] != wanted
    ]


def episode_findings(episode: Episode, meta: DatasetMeta) -> list[Finding]:
    """Everything wrong with one episode that is to be stored in a file of these bounds and this horizon."""
    rows, axes = len(episode.rewards), {name: 2 if name in MATRICES else 1 for name in ARRAYS}
    arrays = {name: np.asarray(getattr(episode, name)) for name in ARRAYS}
    lengths = {**arrays, **{f"{INFOS}/{name}": np.asarray(info) for name, info in episode.infos.items()}}
    found = [
        Finding("error", "rows", name, f"has shape {array.shape}, the episode {rows} steps")
        for name, array in lengths.items()
        if not array.ndim or len(array) != rows or array.ndim != axes.get(name, array.ndim) or not rows
    ]
    found += [
        Finding("error", "dtype", name, f"has type {array.dtype}; numbers and bools can be stored")
        for name, array in lengths.items()
        if array.dtype.kind not in "fiub"
    ]
    if not found and arrays["actions"].shape[1] != len(meta.action_low):
        message = f"rows of {arrays['actions'].shape[1]} numbers, bounds of {len(meta.action_low)}"
        found.append(Finding("error", "size", "actions", message))
    return found or _row_findings(arrays, meta)


def _row_findings(arrays: Rows, meta: DatasetMeta) -> list[Finding]:
    check = RowCheck(meta)
    check.feed({name: array.astype(ARRAYS[name], copy=False) for name, array in arrays.items()})
    found = check.findings()
    if (arrays["terminals"] | arrays["timeouts"])[:-1].any():
        found.append(Finding("error", "early-end", "timeouts", "an end is set before the last row"))
    return found
