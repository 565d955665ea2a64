"""Are episodes where their flags say: continuity of states, borders in the wrong row, states from after a reset."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import numpy as np

from awac_tr.data.format.findings import Finding, Severity, finding_of_rows
from awac_tr.data.validation.base import Array, Block, RowList
from awac_tr.data.validation.outliers import OutlierModel
from awac_tr.data.validation.resets import Autoreset, Starts, after_joined_end

__all__ = ["EndsCheck"]

_ROUNDING: Final = 1e-5
_MOST: Final = 0.5
_ENOUGH: Final = 10
_FEW: Final = 5
_FEW_BORDERS: Final = 3
_OFTEN: Final = 0.1
_NEXT: Final = "next_observations"


class EndsCheck:
    """Continuity inside episodes, and what lies at their borders; ``ours``: a gap is an error.

    Attributes:
        gaps: rows whose next observation is not the row after, without an end.
        roundings: those of them that differ by rounding only.
        joins: rows with an end whose next observation is the row after.
        ends, terminals: rows with an end flag, and those of them that are terminal.
        late: flags that belong one row earlier; ``early``: one row later; ``doubled``: beside the true border.
        copies: rows whose next observation is their own observation.
        flagged: for each flag, how many rows have it.
        rows: rows seen.
    """

    def __init__(self, *, ours: bool) -> None:
        self._ours = ours
        self.gaps, self.roundings, self.joins, self.ends, self.terminals = (RowList() for _ in range(5))
        self.copies = RowList()
        self.late = self.early = self.doubled = np.zeros(0, dtype=np.int64)
        self.flagged = {"terminals": 0, "timeouts": 0}
        self._join_scores: list[Array] = []
        self._fresh_gaps: list[Array] = []
        self._surprise: OutlierModel | None = None
        self._starts, self._autoreset = Starts(), Autoreset()
        self.rows = 0

    def feed(self, block: Block) -> None:
        """Look at the next block."""
        self.rows = block.start + len(block.new("rewards"))
        self.ends.add(block.ends[block.lead :], block.start)
        self.terminals.add(block.new("terminals"), block.start)
        for name in self.flagged:
            self.flagged[name] += int(block.new(name).sum())
        states, following = block.arrays["observations"], block.arrays[_NEXT]
        self.copies.add((states == following).all(axis=1)[block.lead :], block.start)
        joined, inside = block.joined(), ~block.ends[:-1]
        # NaN differs from itself: a fault of its own, and no gap.
        finite = np.isfinite(following[:-1]).all(axis=1) & np.isfinite(states[1:]).all(axis=1)
        self._starts.learn(block)
        homeward = self._starts.homeward(block)
        # What may be a reset does not tell what is ordinary.
        self._fit(block, joined & inside & ~homeward & ~after_joined_end(block, joined)[:-1])
        self._gaps(block, ~joined & inside & finite)
        self._joins(block, joined & block.ends[:-1])
        if self._surprise is not None:
            self._starts.look(block, homeward & (joined ^ block.ends[:-1]), self._surprise)
        self._autoreset.look(block, joined, self._surprise)

    def _fit(self, block: Block, ordinary: Array) -> None:
        if self._surprise is None:
            arrays = [block.arrays[name][:-1][ordinary] for name in ("observations", "actions", _NEXT)]
            self._surprise = OutlierModel.fit(*arrays)

    def _gaps(self, block: Block, gap: Array) -> None:
        if not gap.any():
            return
        following, after = block.arrays[_NEXT][:-1][gap], block.arrays["observations"][1:][gap]
        with np.errstate(invalid="ignore"):
            near = (np.abs(following - after) <= _ROUNDING * (1 + np.abs(after))).all(axis=1)
        rounded = gap.copy()
        rounded[gap] = near
        self.roundings.add(rounded, block.base)
        self.gaps.add(gap & ~rounded, block.base)
        self._fresh_gaps.append(self._is_fresh(block, gap & ~rounded))

    def _is_fresh(self, block: Block, gap: Array) -> Array:
        """Of gaps: the recorded step is ordinary and the way to the row after is not: a border, not a damaged row."""
        if self._surprise is None:
            return np.zeros(int(gap.sum()), dtype=bool)
        names = ("observations", "actions", _NEXT)
        states, actions, following = (block.arrays[name][:-1][gap] for name in names)
        after = block.arrays["observations"][1:][gap]
        usual = self._surprise.usual
        ordinary = self._surprise.of(states, actions, following) <= 2 * usual
        fresh: Array = ordinary & (self._surprise.of(states, actions, after) > usual)
        return fresh

    def _joins(self, block: Block, join: Array) -> None:
        self.joins.add(join, block.base)
        if join.any() and self._surprise is not None:
            self._join_scores.append(self._surprise.of_rows(block, np.flatnonzero(join)))

    def findings(self) -> list[Finding]:
        """Everything found, once the last block was fed."""
        inverted = self.inverted()
        if inverted:
            return inverted
        if self._stuck():
            return self.copies.finding("next-is-current", _NEXT)
        found = self._borders()
        # Misplaced flags also mislead about where episodes begin.
        if not found:
            found = _findings(_NEXT, {"unmarked-border": np.setdiff1d(self._starts.unmarked, self.resets)})
        found += _findings(_NEXT, {"autoreset": self.resets})
        joins = dict(zip(("leak", "leak-terminal", "continues"), self.leaks(), strict=True))
        return found + self._gap_findings() + _findings(_NEXT, joins) + self._one_step()

    @cached_property
    def resets(self) -> Array:
        """Rows that are a reset and no step, [n] int64; once the last block was fed."""
        return self._autoreset.rows(self.gaps.rows)

    @property
    def misplaced(self) -> bool:
        """Flags stand in wrong rows, or are missing where an episode certainly ends."""
        return bool(len(self.late) or len(self.early) or len(self.doubled) or len(self.fresh_gaps()))

    def inverted(self) -> list[Finding]:
        """Flags set in most rows although states run on there."""
        if self.rows < _ENOUGH or self.joins.count <= _MOST * self.rows:
            return []
        name = max(self.flagged, key=lambda flag: self.flagged[flag])
        share = self.flagged[name] / self.rows
        message = f"set in {share:.0%} of rows, and states run on over {self.joins.count:,} of them"
        return [Finding("error", "flags-inverted", name, message)]

    def _stuck(self) -> bool:
        """Most next observations are copies, though the observations themselves move."""
        return self.rows >= _ENOUGH and self.copies.count > _MOST * self.rows and self.gaps.count > _MOST * self.rows

    def _borders(self) -> list[Finding]:
        """Pair ends over which states run on with the true border beside them, and take both out of their lists."""
        joins, gaps = np.setdiff1d(self.joins.rows, self.resets - 1), self.gaps.rows
        self.late = joins[np.isin(joins - 1, gaps)]
        rest = np.setdiff1d(joins, self.late)
        last = [self.rows - 1] if self.rows - 1 not in self.ends.rows[-1:] else []
        self.early = rest[np.isin(rest + 1, np.concatenate([np.setdiff1d(gaps, self.late - 1), last]))]
        self.doubled = self._beside_ends(np.setdiff1d(rest, self.early))
        kinds = {"border-late": self.late, "border-early": self.early, "border-doubled": self.doubled}
        return [finding_of_rows(code, self._flag_at(rows[0]), rows) for code, rows in kinds.items() if len(rows)]

    def _beside_ends(self, rows: Array) -> Array:
        """Of ends over which states run on: those next to another end, where the steps over them are ordinary."""
        ends = self.ends.rows
        true_ends = np.setdiff1d(ends, self.joins.rows)
        proven = rows[np.isin(rows - 1, true_ends) | np.isin(rows + 1, true_ends)]
        # A recorder that stored states from after the reset would have done so at the true ends beside them, too.
        if len(proven) >= _FEW_BORDERS and len(proven) == len(rows):
            return proven
        beside = rows[np.isin(rows - 1, ends) | np.isin(rows + 1, ends)]
        return beside if len(beside) and self._ordinary(beside) else beside[:0]

    def _ordinary(self, rows: Array) -> bool:
        """Are steps over these ends like those within episodes: the median below what 99 of 100 of those stay below."""
        if self._surprise is None:
            return False
        return bool(np.median(self._scores()[np.isin(self.joins.rows, rows)]) <= self._surprise.usual)

    def _scores(self) -> Array:
        """How surprising are the steps in ``joins.rows``; 0 for those met before there was a model."""
        scores = np.concatenate(self._join_scores) if self._join_scores else np.zeros(0)
        missing = max(0, len(self.joins.rows) - len(scores))
        return np.concatenate([np.zeros(missing), scores])[: len(self.joins.rows)]

    def _flag_at(self, row: int) -> str:
        return "terminals" if np.isin(row, self.terminals.rows) else "timeouts"

    def _gap_findings(self) -> list[Finding]:
        found = []
        gaps = self.open_gaps()
        if len(gaps):
            fixable = len(self.fresh_gaps()) == len(gaps) and self.gaps.complete
            count = self.gaps.count - (len(self.gaps.rows) - len(gaps))
            milder: Severity = "error" if self._ours else "warning"
            found.append(finding_of_rows("gap", _NEXT, gaps, count=count, severity=milder, fixable=fixable))
        return found + self.roundings.finding("rounding", _NEXT, severity="error" if self._ours else "note")

    def open_gaps(self) -> Array:
        """Gaps that no misplaced flag explains."""
        return np.setdiff1d(self.gaps.rows, np.concatenate([self.late - 1, self.early + 1]))

    def fresh_gaps(self) -> Array:
        """Gaps where the row after is a fresh start, so that the row is certainly the last of an episode."""
        fresh = np.concatenate(self._fresh_gaps)[: len(self.gaps.rows)] if self._fresh_gaps else np.zeros(0, dtype=bool)
        return np.intersect1d(self.gaps.rows[fresh], self.open_gaps())

    def leaks(self) -> tuple[Array, Array, Array]:
        """Ends over which states run on and nothing explains it: (leaks at cuts, at terminals, recordings that go on).

        Together they decide which they are: where the median step over them is one that 99 of 100 steps within
        episodes stay below, the simulator was reset there; else the recording went on.
        """
        misplaced = np.concatenate([self.late, self.early, self.doubled, self.resets - 1])
        rows = np.setdiff1d(self.joins.rows, misplaced)
        none = np.zeros(0, dtype=np.int64)
        if len(rows) and self._ordinary(rows):
            return none, none, rows
        terminal = np.isin(rows, self.terminals.rows)
        return rows[~terminal], rows[terminal], none

    def _one_step(self) -> list[Finding]:
        ends = self.ends.rows
        single = ends[np.diff(ends, prepend=-1) == 1]
        single = np.setdiff1d(single, np.concatenate([self.doubled, self.doubled + 1]))
        many = len(single) >= _FEW and len(single) > _OFTEN * len(ends)
        return _findings("timeouts", {"one-step": single}) if many else []


def _findings(where: str, kinds: Mapping[str, Array]) -> list[Finding]:
    return [finding_of_rows(code, where, rows) for code, rows in kinds.items() if len(rows)]
