"""What validation finds: one kind of trouble a finding, with its place, its count and its remedy."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from awac_tr.data.validation.codes import KINDS, Kind, Severity
from awac_tr.errors import DatasetError

__all__ = ["Finding", "Severity", "errors_of", "finding_of_rows", "place", "report", "worst_first"]

_LOG = logging.getLogger(__name__)
_ORDER: Final = ("error", "warning", "note")
_FEW: Final = 5
"""Rows of a finding that are named one by one."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Finding:
    """One kind of trouble in a dataset file.

    Args:
        severity: ``error``: certain, and training goes wrong; ``warning``: probably; ``note``: worth knowing.
        code: short stable name, for scripts; docs/validation.md lists them.
        where: array and rows, or attribute.
        message: what is wrong.
        remedy: what to do about it; empty: what is said of its code.
        rows: the first few bad rows of the file, where rows are at fault.
        count: how many there are in all.
        steps: for each of ``rows`` (episode, step in it), where known.
        fixable: ``--fix`` can mend it with certainty; None: as is said of its code.
    """

    severity: Severity
    code: str
    where: str
    message: str
    remedy: str = ""
    rows: tuple[int, ...] = ()
    count: int = 0
    steps: tuple[tuple[int, int], ...] = ()
    fixable: bool | None = None

    def __post_init__(self) -> None:
        kind = KINDS.get(self.code)
        if kind is None:
            return
        object.__setattr__(self, "remedy", self.remedy or kind.remedy)
        if self.fixable is None:
            object.__setattr__(self, "fixable", bool(kind.mends))

    @property
    def harm(self) -> str:
        """What it does to training."""
        kind = KINDS.get(self.code)
        return kind.harm if kind is not None else ""

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return {**vars(self), "fixable": bool(self.fixable), "harm": self.harm}


def finding_of_rows(
    code: str,
    where: str,
    rows: Sequence[int] | Array,
    *,
    count: int | None = None,
    severity: Severity | None = None,
    **more: Any,
) -> Finding:
    """A finding of a code whose meaning is about rows.

    Args:
        code: one of :data:`awac_tr.data.validation.codes.KINDS`.
        where: the array.
        rows: bad rows of the file, at least one; the first few are kept.
        count: how many there are, where ``rows`` are not all.
        severity: other than the code's usual one.
        more: further fields of :class:`Finding`.
    """
    kind: Kind = KINDS[code]
    total, few = len(rows) if count is None else count, tuple(int(row) for row in rows[:_FEW])
    text = f"{total:,} row" + ("s" if total > 1 else "")
    message = kind.meaning.format(rows=text, first=few[0])
    return Finding(severity or kind.severity, code, where, message, rows=few, count=total, **more)


def place(findings: Iterable[Finding], ends: Array) -> list[Finding]:
    """The same findings, with episode and step of the rows they name; ``ends`` [E]: last row of every episode."""
    placed = []
    for finding in findings:
        episodes = [int(episode) for episode in np.searchsorted(ends, finding.rows)]
        starts = [int(ends[episode - 1]) + 1 if episode else 0 for episode in episodes]
        steps = tuple(
            (episode, row - start) for episode, row, start in zip(episodes, finding.rows, starts, strict=True)
        )
        placed.append(replace(finding, steps=steps))
    return placed


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """Those that keep a file from being loaded."""
    return [finding for finding in findings if finding.severity == "error"]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then notes, each in the order they were found."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def report(path: Path, findings: Sequence[Finding]) -> None:
    """Raise one error that names every finding of severity ``error``; where there is none, log the others.

    Raises:
        DatasetError: at least one is an error.
    """
    errors = errors_of(findings)
    if errors:
        lines = [f"{finding.where}: {finding.message}" for finding in errors]
        remedies = dict.fromkeys(finding.remedy for finding in errors if finding.remedy)
        text, details = (lines[0], []) if len(lines) == 1 else (f"{len(lines)} faults", lines)
        raise DatasetError(f"dataset {path}: {text}", " ".join(remedies), details=details)
    for finding in findings:
        level = logging.WARNING if finding.severity == "warning" else logging.INFO
        _LOG.log(level, "dataset %s: %s: %s", path, finding.where, finding.message)
