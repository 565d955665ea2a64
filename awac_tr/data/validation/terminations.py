"""Is the end of a task told from the end of time: terminals against timeouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from awac_tr.data.format.findings import Finding
from awac_tr.data.validation.base import Array, Block, Context, RowList

__all__ = ["TerminationsCheck"]

_FEW_EPISODES: Final = 3
_SAME_LENGTH: Final = 5
_LONG: Final = 10
_DIFFERENT: Final = 0.5


class TerminationsCheck:
    """Terminals that are timeouts, and the reverse.

    Attributes:
        false: rows marked terminal where the environment goes on.
        missed: rows not marked terminal where it ends.
        missed_ends: those of them that are cut, so that only the flag is wrong.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.false, self.missed, self.missed_ends = RowList(), RowList(), RowList()
        self._ends, self._terminals = RowList(), RowList()
        self._rows = 0
        self._last: tuple[int, Mapping[str, Array], Array, Array] | None = None

    def feed(self, block: Block) -> None:
        """Look at the next block."""
        terminals, states = block.new("terminals"), block.new("next_observations")
        self._ends.add(block.ends[block.lead :], block.start)
        self._terminals.add(terminals, block.start)
        self._rows += len(terminals)
        env = self._context.env
        if env is None or states.shape[1] != env.observation_size:
            return
        if env.terminates is False:
            self.false.add(terminals, block.start)
        elif env.termination is not None:
            self._by_rule(block, *env.termination(block.arrays["next_observations"]))

    def _by_rule(self, block: Block, ended: Array, going: Array) -> None:
        """Flags against the rule, but where the next observation is the start of the next episode, or missing.

        The last row of a block waits for the row after it, which is in the next block.
        """
        told = ~block.stand_ins()
        ended, going = ended & told, going & told
        flags = {name: block.arrays[name] for name in ("terminals", "timeouts")}
        self._add(block.base, {name: rows[:-1] for name, rows in flags.items()}, ended[:-1], going[:-1], block.joined())
        last = {name: rows[-1:].copy() for name, rows in flags.items()}
        self._last = (block.base + len(ended) - 1, last, ended[-1:], going[-1:])

    def _add(self, base: int, flags: Mapping[str, Array], ended: Array, going: Array, joined: Array) -> None:
        known = ~(joined & (flags["terminals"] | flags["timeouts"]))
        self.false.add(flags["terminals"] & going & known, base)
        self.missed.add(~flags["terminals"] & ended & known, base)
        self.missed_ends.add(~flags["terminals"] & ended & known & flags["timeouts"], base)

    def findings(self) -> list[Finding]:
        """Everything found, once the last block was fed."""
        if self._last is not None:
            self._add(*self._last, joined=np.zeros(1, dtype=bool))
            self._last = None
        found = self.false.finding("false-terminal", "terminals")
        fixable = self.missed_ends.count == self.missed.count
        return found + self.missed.finding("missed-terminal", "terminals", fixable=fixable) or self._by_length()

    def _by_length(self) -> list[Finding]:
        """Where no rule is known, lengths tell: ends that come only when time runs out are no ends of the task."""
        ends = self._ends.rows
        lengths = np.diff(ends, prepend=-1)
        terminal = np.isin(ends, self._terminals.rows)
        if len(lengths) < _FEW_EPISODES or self._knows_rule():
            return []
        return self._at_horizon(lengths, terminal) if terminal.any() else self._never(lengths)

    def _knows_rule(self) -> bool:
        env = self._context.env
        return env is not None and (env.terminates is False or env.termination is not None)

    def _at_horizon(self, lengths: Array, terminal: Array) -> list[Finding]:
        horizon, length = self._context.horizon, int(lengths[terminal][0])
        same = bool((lengths[terminal] == length).all()) and length >= _LONG
        if not same or terminal.sum() < _FEW_EPISODES:
            return []
        if horizon is None and terminal.sum() >= _SAME_LENGTH and terminal.all():
            all_of = f"all {len(lengths):,} episodes have {length} steps"
            text = f"{all_of} and end in a terminal row: that looks like a limit"
        elif horizon == length:
            text = f"set in {int(terminal.sum()):,} episodes, in each in step {length}, where the time limit lies"
        else:
            return []
        return [Finding("warning", "terminal-at-horizon", "terminals", text)]

    def _never(self, lengths: Array) -> list[Finding]:
        horizon, env = self._context.horizon, self._context.env
        if horizon is None or env is None or not env.terminates:
            return []
        short = lengths[lengths < horizon]
        if len(short) < _FEW_EPISODES or len(np.unique(short)) < _DIFFERENT * len(short):
            return []
        text = f"{len(short):,} of {len(lengths):,} episodes are cut before step {horizon}, and none is terminal"
        return [Finding("warning", "no-terminals", "terminals", text)]
