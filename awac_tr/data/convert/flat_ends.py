"""Borders of a flat file: what its arrays say, held against its states; rows that are no steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from awac_tr.data.convert.episode_ends import ENDS_FLAG, Mark, Said, cut_by_horizon, settle
from awac_tr.data.convert.recording import ImportSettings
from awac_tr.data.storage.reader import BLOCK_ROWS
from awac_tr.data.validation.base import Block
from awac_tr.data.validation.ends import EndsCheck
from awac_tr.errors import DatasetError

__all__ = ["FlatEnds"]

Array = np.ndarray[Any, Any]
Rows = Callable[[int, int], dict[str, Array]]

_FEW: Final = 10
_MOST_LANES: Final = 1024


class FlatEnds:
    """Where the episodes of flat arrays end; ``notes`` say by what evidence, and what was assumed.

    Args:
        where: for messages.
        count: rows of the file, N.
        rows: first row, row after the last -> the four arrays of numbers, float32.
        marks: what arrays say about ends.
        settings: what the user says about them.
        shown: next observations were recorded, so that states tell of borders.
    """

    def __init__(
        self, where: str, count: int, rows: Rows, marks: Sequence[Mark], settings: ImportSettings, *, shown: bool
    ) -> None:
        self._where, self._count, self._rows, self._settings, self._shown = where, count, rows, settings, shown
        self._said: Said = settle(where, marks, dones=settings.dones, never=self._never)
        self.notes: list[str] = []

    def bounds(self, *, exact: bool) -> tuple[list[tuple[int, int, bool]], frozenset[int]]:
        """(first row, row after the last, the task ended) of every episode, and first rows that are no steps.

        Of an export of ours (``exact``) the flags are taken as they stand.

        Raises:
            DatasetError: nobody can know where episodes end.
        """
        terminals, timeouts = self._said.terminals, self._said.timeouts
        if terminals is None:
            hint = "D4RL's layout has observations, actions, rewards and terminals, one row a transition."
            raise DatasetError(f"{self._where} has no array terminals", hint)
        resets, ends = np.zeros(0, dtype=np.int64), terminals
        if not exact:
            check, timeouts = self._checked(terminals, timeouts)
            resets, ends = check.resets, terminals.copy()
            ends[check.gaps.rows] = True
        both = 0 if timeouts is None else int((terminals & timeouts).sum())
        if both:
            self.notes.append(f"{both} rows are both terminal and cut: read as terminal (D4RL leaves them out)")
        ends = ends if timeouts is None else ends | timeouts
        if len(resets):
            self.notes.append(f"{len(resets)} rows left out: in them a vector environment reset, and made no step")
        return self._as_bounds(ends, terminals), frozenset(resets.tolist())

    def _as_bounds(self, ends: Array, terminals: Array) -> list[tuple[int, int, bool]]:
        stops = (np.flatnonzero(ends) + 1).tolist()
        if not stops or stops[-1] != self._count:
            stops.append(self._count)
            self.notes.append("the last episode has no end in the file: read as cut")
        return [(start, stop, bool(terminals[stop - 1])) for start, stop in pairwise([0, *stops])]

    def _checked(self, terminals: Array, timeouts: Array | None) -> tuple[EndsCheck, Array | None]:
        """The states, looked at with all ends; and the cuts."""
        by = f"episodes end by {', '.join(self._said.names)}"
        if timeouts is not None or self._settings.ends:
            check = self._look(terminals, timeouts)
            self._refuse_misplaced(check)
            gaps = len(check.gaps.rows)
            self.notes.append(by)
            if gaps:
                said = f"{gaps} rows whose next observation is not the next row's, unmarked: episodes cut there"
                self.notes.append(said)
            return check, timeouts
        check = self._look(terminals, None)
        self._refuse_misplaced(check)
        shown = terminals.copy()
        shown[check.gaps.rows] = True
        return self._without_cuts(terminals, shown, check, by)

    def _without_cuts(
        self, terminals: Array, shown: Array, check: EndsCheck, by: str
    ) -> tuple[EndsCheck, Array | None]:
        """No array says where episodes were cut: states show it, or the horizon does."""
        horizon, asked = self._horizon()
        cut = (self._said.blank and f"{self._said.blank} is never set") or "no timeouts in the file"
        if len(check.gaps.rows):
            by += f" and {len(check.gaps.rows)} borders that next_observations show"
        longest = int(np.diff(np.flatnonzero(np.append(shown[:-1], True)), prepend=-1).max())
        if horizon and longest > horizon and (asked or not self._said.blank):
            self.notes.append(f"{cut}: {by}; episodes cut after {horizon} steps without an end")
            return self._by_horizon(terminals, shown, horizon)
        if horizon and longest > horizon and not self._shown:
            message = f"{self._where}: {cut}, but rows run on for {longest:,} steps, beyond the horizon of {horizon}"
            raise DatasetError(message, f"--horizon {horizon} cuts them by steps, --ends terminals takes one episode.")
        seen = self._shown and (len(check.gaps.rows) or len(check.resets) or check.ends.count > check.joins.count + 1)
        if not (horizon or seen or self._said.blank):
            raise DatasetError(
                f"{self._where} has no timeouts: where an episode was cut cannot be seen in it",
                "Say after how many steps episodes were cut with --horizon, or name the environment with --env.",
            )
        self.notes.append(f"{cut}: {by}")
        return check, None

    def _by_horizon(self, terminals: Array, shown: Array, horizon: int) -> tuple[EndsCheck, Array]:
        """Cuts by counting; with a row to spare in every episode where such rows prove to be resets."""
        for spare in (1, 0):
            cuts = cut_by_horizon(shown, horizon, spare)
            check = self._look(terminals, cuts | (shown & ~terminals))
            if spare and len(check.resets):
                break
        return check, cuts

    def _horizon(self) -> tuple[int | None, bool]:
        """Steps before an episode is cut, and whether the user said so."""
        from awac_tr.envs.env_info import env_info

        if self._settings.horizon:
            return self._settings.horizon, True
        return (env_info(self._settings.env_id).horizon if self._settings.env_id else None), False

    def _never(self) -> bool:
        from awac_tr.envs.env_info import env_info

        return bool(self._settings.env_id) and env_info(self._settings.env_id).terminates is False

    def _look(self, terminals: Array, timeouts: Array | None) -> EndsCheck:
        """Hold flags against the states, block by block."""
        check = EndsCheck(ours=False)
        flags = {"terminals": terminals, "timeouts": np.zeros_like(terminals) if timeouts is None else timeouts}
        for start in range(0, self._count, BLOCK_ROWS):
            lead, stop = min(start, 1), min(start + BLOCK_ROWS, self._count)
            arrays = self._rows(start - lead, stop)
            own = {name: rows[start - lead : stop] for name, rows in flags.items()}
            check.feed(Block(start, lead, arrays | own))
        inverted = check.inverted() if self._shown and not self._settings.ends else []
        if inverted:
            message = f"{inverted[0].where} is {inverted[0].message}: it contradicts next_observations"
            raise DatasetError(f"{self._where}: {message}", f"Masks are the opposite of flags. {ENDS_FLAG}")
        self._refuse_shuffled(check)
        return check

    def _refuse_misplaced(self, check: EndsCheck) -> None:
        """Flags beside the ends that next observations show would make episodes of one row that never were."""
        found = [one for one in check.findings() if one.code in ("border-late", "border-early")]
        if self._shown and not self._settings.ends and found:
            hint = f"awac-tr data validate {self._where} --fix --out NEW moves them. {ENDS_FLAG}"
            raise DatasetError(f"{self._where}: {found[0].where}: {found[0].message}", hint)

    def _refuse_shuffled(self, check: EndsCheck) -> None:
        if check.gaps.count <= max(_FEW, self._count // 2):
            return
        lanes = self._lanes()
        if lanes:
            message = f"the steps of {lanes} environments lie in turn: row {lanes} follows row 0"
            raise DatasetError(f"{self._where}: {message}", "Store the rows of one environment after another.")
        message = f"rows 0 to {self._count - 1} do not follow each other"
        raise DatasetError(f"{self._where}: {message}", "Shuffled rows have no episodes.")

    def _lanes(self) -> int:
        """Environments whose steps lie in turn; 0 where that is not what is wrong."""
        arrays = self._rows(0, min(self._count, 8 * _MOST_LANES))
        states, following = arrays["observations"], arrays["next_observations"]
        for lanes in range(2, min(_MOST_LANES, len(states) // 2)):
            if (following[:-lanes] == states[lanes:]).all(axis=1).mean() > 1 / 2:
                return lanes
        return 0
