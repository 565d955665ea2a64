"""What validation finds: one kind of trouble a finding, with its place, its count and its remedy."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from awac_tr.errors import DatasetError

__all__ = ["Finding", "Severity", "Tally", "errors_of", "report", "worst_first"]

_LOG = logging.getLogger(__name__)
_ORDER: Final = ("error", "warning", "note")

Severity = Literal["error", "warning", "note"]


Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Finding:
    """One kind of trouble in a dataset file.

    Args:
        severity: ``error``: the file is not loaded; ``warning``: it is, and something is probably wrong with it;
            ``note``: worth knowing, nothing is wrong.
        code: short stable name, for scripts.
        where: array and rows, or attribute.
        message: what is wrong.
        remedy: what to do about it; may be empty.
    """

    severity: Severity
    code: str
    where: str
    message: str
    remedy: str = ""


class Tally:
    """Counts rows that share a fault over many blocks, and keeps the first."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, code: str, array: str, bad: Array, start: int) -> None:
        """Note the bad rows of a block.

        Args:
            code: the finding's code.
            array: name of the array they are in.
            bad: [n] bool, True for a bad row.
            start: row of the file the block starts at.
        """
        if bad.any():
            count, first = self._rows.get((code, array), (0, start + int(np.argmax(bad))))
            self._rows[code, array] = (count + int(bad.sum()), first)

    def items(self) -> list[tuple[str, str, int, int]]:
        """(code, array, number of bad rows, the first of them), in the order they were met."""
        return [(code, array, count, first) for (code, array), (count, first) in self._rows.items()]


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """Those that keep a file from being loaded."""
    return [finding for finding in findings if finding.severity == "error"]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then notes, each in the order they were found."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def report(path: Path, findings: Sequence[Finding]) -> None:
    """Raise one error that names every finding of severity ``error``; where there is none, log the others.

    Args:
        path: file they are about.
        findings: all findings.

    Raises:
        DatasetError: at least one is an error.
    """
    errors = errors_of(findings)
    if errors:
        lines = [f"{finding.where}: {finding.message}" for finding in errors]
        text = lines[0] if len(lines) == 1 else f"{len(lines)} faults\n" + "\n".join(f"  {line}" for line in lines)
        remedies = dict.fromkeys(finding.remedy for finding in errors if finding.remedy)
        raise DatasetError(f"dataset {path}: {text}", " ".join(remedies))
    for finding in findings:
        level = logging.WARNING if finding.severity == "warning" else logging.INFO
        _LOG.log(level, "dataset %s: %s: %s", path, finding.where, finding.message)
