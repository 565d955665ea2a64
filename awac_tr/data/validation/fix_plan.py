"""What mending will do to a file, worked out from what was found in it, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from awac_tr.data.format.findings import Finding
from awac_tr.data.validation.examine import Examination
from awac_tr.errors import DatasetError

__all__ = ["Plan", "RefusalError", "make_plan", "sort_out"]

Array = np.ndarray[Any, Any]

_MUST: Final = ("gap", "action-bounds")
"""Milder in files of others, but our format does not hold them."""
_MOVES: Final = (
    *("border-late", "border-early", "border-doubled", "gap", "open-end", "autoreset", "leak", "next-is-current"),
)
"""What changes where episodes end, so that numbers of episodes change."""


class RefusalError(DatasetError):
    """A dataset has faults that nobody can mend with certainty."""


@dataclass(frozen=True)
class Plan:
    """Rows and episodes of the old file, and what becomes of them.

    Attributes:
        codes: what is mended.
        ends: last row of every episode as it will be, [E] int64.
        terminals: those of them that will be terminal.
        leaks: ends that are dropped, since the state after them is not known.
        resets: first rows of episodes that are dropped, since they are a reset and no step.
        copies: episodes that are dropped, by number in ``ends``.
    """

    codes: frozenset[str]
    ends: Array
    terminals: Array
    leaks: Array
    resets: Array
    copies: frozenset[int]


def sort_out(findings: Iterable[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Findings above a note, as (those that can be mended with certainty, the others)."""
    trouble = [finding for finding in findings if finding.severity != "note"]
    mended = [finding for finding in trouble if finding.fixable]
    return mended, [finding for finding in trouble if not finding.fixable]


def make_plan(found: Examination, path: Path | None = None) -> Plan | None:
    """What one pass of mending does; None: there is nothing to mend.

    Raises:
        RefusalError: something would stay that our format does not hold; it names ``path``, else the file looked at.
    """
    mended, others = sort_out(found.findings)
    blocking = [finding for finding in others if finding.severity == "error" or finding.code in _MUST]
    if blocking:
        raise _refusal(path or found.path, others)
    if not mended:
        return None
    codes = frozenset(finding.code for finding in mended)
    ends, terminals = _ends(found, codes)
    # Copies are known by their number in the old file: they wait for a pass in which numbers stay.
    copies = frozenset(found.duplicates.copies if found.duplicates and not codes & set(_MOVES) else ())
    leaks = found.ends.leaks()[0] if found.ends is not None and "leak" in codes else ends[:0]
    resets = found.ends.resets if found.ends is not None else ends[:0]
    return Plan(codes, ends, terminals, leaks, resets, copies if "duplicate" in codes else frozenset())


def _refusal(path: Path, others: Sequence[Finding]) -> RefusalError:
    lines = [f"{finding.code} ({finding.where}): {finding.message}" for finding in others]
    remedies = dict.fromkeys(finding.remedy for finding in others if finding.remedy)
    return RefusalError(f"dataset {path} cannot be mended with certainty", " ".join(remedies), details=lines)


def _ends(found: Examination, codes: frozenset[str]) -> tuple[Array, Array]:
    """Where episodes will end, and where in a terminal state."""
    ends_check, terminations = found.ends, found.terminations
    if ends_check is None or terminations is None:  # only the layout is mended in this pass
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if not (ends_check.ends.complete and ends_check.gaps.complete and ends_check.joins.complete):
        raise RefusalError(f"dataset {found.path} has too many ends or gaps to be mended")
    ends, terminals = ends_check.ends.rows, ends_check.terminals.rows
    if "false-terminal" in codes:
        terminals = np.setdiff1d(terminals, terminations.false.rows)
    if "missed-terminal" in codes:
        terminals = np.union1d(terminals, terminations.missed_ends.rows)
    for rows, step in ((ends_check.late, -1), (ends_check.early, 1)):
        terminals = _moved(terminals, np.intersect1d(terminals, rows), step)
        ends = _moved(ends, rows, step)
    ends, terminals = np.setdiff1d(ends, ends_check.doubled), np.setdiff1d(terminals, ends_check.doubled)
    if "gap" in codes:
        ends = np.union1d(ends, ends_check.fresh_gaps())
    return np.union1d(ends, [ends_check.rows - 1]), terminals


def _moved(rows: Array, chosen: Array, step: int) -> Array:
    return np.union1d(np.setdiff1d(rows, chosen), chosen + step)
