"""Are actions commands: scaled to their bounds, varied, and not all pressed against the bounds."""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.format.findings import Finding, Severity
from awac_tr.data.validation.base import Block, Context, RowList, constant_entries

__all__ = ["ActionsCheck"]

_TOLERANCE: Final = 1e-5
_RAW_ROWS: Final = 0.2
_RAW_FACTOR: Final = 2.0
_TINY: Final = 0.05
_SMALL: Final = 0.25
_WIDE: Final = 1.25
_REACHED: Final = 0.95
_SATURATED: Final = 0.95
_OFTEN: Final = 0.5
_ENOUGH: Final = 20


class ActionsCheck:
    """Bounds, scale, variation and saturation of actions.

    Attributes:
        outside: rows with an entry outside the bounds.
        raw: so far or so often outside that they are in other units; clipping would not mend them.
    """

    def __init__(self, context: Context) -> None:
        self._ours, self._known = context.ours, context.ours or context.env is not None
        self._low, self._high = context.low, context.high
        self._span = np.maximum(self._high - self._low, 1e-12)
        self._margin = np.float32(_TOLERANCE)
        self.outside, self._far = RowList(), 0
        self._least, self._most = np.full(len(self._low), np.inf), np.full(len(self._low), -np.inf)
        self._at_bounds = self._rows = 0

    def feed(self, block: Block) -> None:
        """Look at the next block."""
        actions = block.new("actions")
        if actions.shape[1] != len(self._low):
            return
        low, high = self._low - self._margin, self._high + self._margin
        self.outside.add(((actions < low) | (actions > high)).any(axis=1), block.start)
        half = 0.5 * (_RAW_FACTOR - 1) * self._span
        self._far += int(((actions < self._low - half) | (actions > self._high + half)).any(axis=1).sum())
        close = self._margin * self._span
        self._at_bounds += int(((actions <= self._low + close) | (actions >= self._high - close)).sum())
        self._least = np.fmin(self._least, np.fmin.reduce(actions, axis=0))
        self._most = np.fmax(self._most, np.fmax.reduce(actions, axis=0))
        self._rows += len(actions)

    @property
    def raw(self) -> bool:
        """Many rows far outside: by more than half the width of the bounds in one row of five."""
        return self._far > _RAW_ROWS * self._rows

    def findings(self) -> list[Finding]:
        """Everything found, once the last block was fed."""
        severity, fixable = "error" if self._ours else "warning", self._known and not self.raw
        found = self.outside.finding("action-bounds", "actions", severity=severity, fixable=fixable)
        if self._rows < _ENOUGH or not len(self._low):
            return found
        constant = self._constant()
        # What never varies at all is neither scaled nor saturated: one finding is enough.
        if any(finding.severity != "note" for finding in constant):
            return found + constant
        return found + constant + (self._scale() or self._saturated())

    def _constant(self) -> list[Finding]:
        fixed, message = constant_entries(self._least, self._most)
        if fixed == len(self._low):
            return [Finding("warning", "action-constant", "actions", "every action is the same")]
        return [Finding("note", "action-constant", "actions", message)] if fixed else []

    def _scale(self) -> list[Finding]:
        used = float(((self._most - self._least) / self._span).max())
        little = f"no entry uses more than {used:.1%} of its range"
        if self.raw:
            size = float(max(np.abs(self._least).max(), np.abs(self._most).max()))
            share = self._far / self._rows
            message = f"{share:.0%} of the rows are far outside the bounds (up to {size:.3g}): these are raw units"
            return [Finding("warning", "action-scale", "actions", message)]
        if self._known and used < _TINY:
            return [Finding("warning", "action-scale", "actions", f"{little}: probably in other units")]
        if not self._known or not np.isfinite(self._span).all() or not (used < _SMALL or self._looks_scaled()):
            return []
        scaled = "they end at -1 and 1, and the bounds are wider: these may be scaled, stored as raw units"
        return [Finding("warning", "action-range", "actions", little if used < _SMALL else scaled)]

    def _looks_scaled(self) -> bool:
        """Every entry has wider bounds than [-1, 1], and the actions fill that and no more."""
        wide = bool((np.minimum(self._high, -self._low) >= _WIDE).all())
        size = np.maximum(-self._least, self._most)
        return wide and bool((size <= 1 + _TOLERANCE).all()) and float(size.max()) >= _REACHED

    def _saturated(self) -> list[Finding]:
        share = self._at_bounds / (self._rows * len(self._low))
        if self.outside.count or share < _OFTEN:
            return []
        severity: Severity = "warning" if share >= _SATURATED else "note"
        return [Finding(severity, "action-saturated", "actions", f"{share:.1%} of all entries lie on a bound")]
