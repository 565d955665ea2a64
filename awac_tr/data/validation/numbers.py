"""Numbers that are none: denormals, huge ones, constants, values outside the space, flags that are not 0 or 1."""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.format.findings import Finding, Severity
from awac_tr.data.validation.base import Array, Block, Context, RowList, constant_entries

__all__ = ["NumbersCheck"]

_SMALLEST: Final = np.finfo(np.float32).tiny
_FLOATS: Final = ("observations", "actions", "rewards")
_MANY: Final = {"observations": 0.5, "actions": 0.01, "rewards": 0.01}
"""Share of rows from which it is no accident; simulators at rest make a few denormal velocities."""
_ROUNDING: Final = 1e-5
_ENOUGH: Final = 20
HUGE: Final = 1e8
"""Numbers beyond it are no measurements."""
_OVERFLOWS: Final = 1e15
"""Returns over a thousand steps of such rewards have squares beyond float32."""


class NumbersCheck:
    """Denormals, huge numbers, constant entries, and the environment's observation space."""

    def __init__(self, context: Context) -> None:
        self._bounds = context.env.observation_bounds if context.env is not None else None
        self._denormal = {name: RowList() for name in _FLOATS}
        self._huge = {name: RowList() for name in _FLOATS}
        self._largest = dict.fromkeys(_FLOATS, 0.0)
        self._outside = RowList()
        self._least: Array | None = None
        self._most: Array | None = None
        self._rows = 0

    def feed(self, block: Block) -> None:
        """Look at the next block."""
        for name, rows in self._denormal.items():
            numbers = block.new(name)
            sizes = np.abs(numbers.reshape(len(numbers), -1))
            rows.add(((sizes > 0) & (sizes < _SMALLEST)).any(axis=1), block.start)
            sizes[~np.isfinite(sizes)] = 0  # a fault of its own
            self._huge[name].add((sizes > HUGE).any(axis=1), block.start)
            self._largest[name] = max(self._largest[name], float(sizes.max(initial=0)))
        states = block.new("observations")
        least, most = np.fmin.reduce(states, axis=0), np.fmax.reduce(states, axis=0)
        self._least = least if self._least is None else np.fmin(self._least, least)
        self._most = most if self._most is None else np.fmax(self._most, most)
        self._rows += len(states)
        if self._bounds is not None and len(self._bounds[0]) == states.shape[1]:
            self._space(block, *(np.array(bound, np.float32) for bound in self._bounds))

    def _space(self, block: Block, low: Array, high: Array) -> None:
        if not (np.isfinite(low).any() or np.isfinite(high).any()):
            return
        margin = _ROUNDING * (1 + np.where(np.isfinite(high - low), high - low, 0))
        states = block.new("observations")
        self._outside.add(((states < low - margin) | (states > high + margin)).any(axis=1), block.start)

    def findings(self) -> list[Finding]:
        """Everything found, once the last block was fed."""
        found = []
        for name, rows in self._denormal.items():
            severity = "warning" if rows.count > _MANY[name] * self._rows else "note"
            found += rows.finding("denormal", name, severity=severity)
        for name, rows in self._huge.items():
            severity = "error" if self._largest[name] > _OVERFLOWS else "warning"
            found += rows.finding("huge", name, severity=severity)
        return found + self._outside.finding("observation-space", "observations") + self._constant()

    def _constant(self) -> list[Finding]:
        if self._rows < _ENOUGH or self._least is None or self._most is None:
            return []
        fixed, message = constant_entries(self._least, self._most)
        severity: Severity = "warning" if fixed == len(self._least) else "note"
        return [Finding(severity, "observation-constant", "observations", message)] if fixed else []
