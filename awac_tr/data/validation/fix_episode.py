"""Mending one episode: each mend a change of its arrays, counted."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np

from awac_tr.data.validation.base import SUCCESS, Context

__all__ = ["CHANGES", "EpisodeFix", "counted", "finite_rows"]

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

_SMALLEST: Final = np.finfo(np.float32).tiny
_ROUNDING: Final = 1e-5
_FLOATS: Final = ("observations", "actions", "rewards", "next_observations")

CHANGES: Final = {
    "clipped": ("number", "in actions clipped to the bounds"),
    "relabelled": ("reward", "computed anew by the environment's rule"),
    "success": ("row", "of success computed anew by the environment's rule"),
    "flushed": ("number", "below 1.2e-38 set to zero"),
    "rounded": ("next observation", "set to the observation of the next row"),
    "leaked": ("row", "dropped: the next observation was the first state of the next episode"),
    "unfollowed": ("row", "dropped: the state after it was not recorded"),
    "cut_short": ("row", "dropped at the end of an episode: NaN or infinite numbers"),
    "stood_in": ("terminal row", "given its own observation as the next, which was NaN or infinite"),
    "infinite": ("episode", "dropped: NaN or infinite numbers"),
    "copies": ("episode", "dropped: there already"),
    "emptied": ("episode", "dropped: no row was left"),
}
"""Name of a count -> what is counted, and what is said of it."""


def counted(count: int, noun: str, text: str) -> str:
    """A sentence about so many of something.

    Example:
        >>> counted(1, "row", "dropped"), counted(2000, "row", "dropped")
        ('1 row dropped', '2,000 rows dropped')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'} {text}"


def finite_rows(arrays: Arrays, *, terminal: bool) -> tuple[int, bool]:
    """Rows of an episode before those at its end that hold NaN or infinite numbers, and whether a state stood in.

    Nothing is asked of the state after a ``terminal`` last row: where that alone is not finite, its own observation
    stands in. The rows are 0 where one before the last such ones is not finite either.

    The arrays are observations [T, o], actions [T, a], rewards [T] and next_observations [T, o], whose last row may be
    changed.
    """
    bad = {
        name: np.asarray(~np.isfinite(arrays[name]).all(axis=tuple(range(1, arrays[name].ndim)))) for name in _FLOATS
    }
    own: Array = bad["observations"] | bad["actions"] | bad["rewards"]
    stands_in = bool(terminal and len(own) and bad["next_observations"][-1] and not own[-1])
    if stands_in:
        arrays["next_observations"][-1] = arrays["observations"][-1]
        bad["next_observations"][-1] = False
    rows = np.flatnonzero(own | bad["next_observations"])
    first = int(rows[0]) if len(rows) else len(own)
    return (first if len(rows) == len(own) - first else 0), stands_in


class EpisodeFix:
    """Changes the arrays of episodes; ``counts`` says how often each of :data:`CHANGES` was made.

    Args:
        codes: what is to be mended.
        context: bounds and rule of the environment.
    """

    def __init__(self, codes: frozenset[str], context: Context) -> None:
        self._codes, self._context = codes, context
        self.counts: Counter[str] = Counter()

    def mend(self, arrays: Arrays, *, terminal: bool, leak: bool) -> Arrays | None:
        """An episode as it shall be stored; None where it is dropped.

        Args:
            arrays: the six arrays and ``infos/...``, rows of one episode; changed in place.
            terminal: it ends in a terminal state.
            leak: its last next observation is of another episode.
        """
        finite, stood_in = finite_rows(arrays, terminal=terminal)
        short = len(arrays["rewards"]) - finite
        if short and not finite:
            self.counts["infinite"] += 1
            return None
        self.counts["cut_short"] += short
        self.counts["stood_in"] += stood_in
        if short:
            arrays, terminal, leak = {name: rows[:finite] for name, rows in arrays.items()}, False, False
        arrays = self._follow(arrays, terminal=terminal, leak=leak)
        rows = len(arrays["rewards"])
        if not rows:
            self.counts["emptied"] += 1
            return None
        self._flush(arrays)
        self._clip(arrays)
        self._relabel(arrays)
        arrays["terminals"] = np.arange(rows) == (rows - 1 if terminal and not leak else rows)
        arrays["timeouts"] = (np.arange(rows) == rows - 1) & ~arrays["terminals"]
        return arrays

    def _follow(self, arrays: Arrays, *, terminal: bool, leak: bool) -> Arrays:
        """Next observations that follow each other, without rows whose next observation is not known."""
        states, following = arrays["observations"], arrays["next_observations"]
        if "next-is-current" in self._codes:
            following[:-1] = states[1:]
        if "rounding" in self._codes:
            near = (np.abs(following[:-1] - states[1:]) <= _ROUNDING * (1 + np.abs(states[1:]))).all(axis=1)
            odd = near & (following[:-1] != states[1:]).any(axis=1)
            following[:-1][odd] = states[1:][odd]
            self.counts["rounded"] += int(odd.sum())
        # In a terminal row the next observation is not looked at by values: the row is worth more than it.
        unknown = "next-is-current" in self._codes and not terminal
        if not (leak or unknown):
            return arrays
        self.counts["leaked" if leak else "unfollowed"] += 1
        return {name: rows[:-1] for name, rows in arrays.items()}

    def _flush(self, arrays: Arrays) -> None:
        for name in _FLOATS if "denormal" in self._codes else ():
            numbers = arrays[name]
            tiny = (numbers != 0) & (np.abs(numbers) < _SMALLEST)
            numbers[tiny] = 0
            self.counts["flushed"] += int(tiny.sum())

    def _clip(self, arrays: Arrays) -> None:
        if "action-bounds" in self._codes:
            actions = arrays["actions"]
            clipped = np.clip(actions, self._context.low, self._context.high)
            self.counts["clipped"] += int((clipped != actions).sum())
            arrays["actions"] = clipped

    def _relabel(self, arrays: Arrays) -> None:
        env = self._context.env
        if env is None or env.reward_rule is None:
            return
        implied = env.reward_rule(arrays["next_observations"])
        if self._codes & {"reward-range", "reward-rule", "reward-shift"}:
            self.counts["relabelled"] += int((arrays["rewards"] != implied).sum())
            arrays["rewards"] = implied
        if "success" in self._codes and SUCCESS in arrays:
            goal = implied >= env.reward_range[1]
            self.counts["success"] += int((arrays[SUCCESS].astype(bool) != goal).sum())
            arrays[SUCCESS] = goal.astype(arrays[SUCCESS].dtype)

    def changes(self) -> list[str]:
        """What was changed, in sentences."""
        return [counted(self.counts[name], *words) for name, words in CHANGES.items() if self.counts[name]]
