"""Every kind of trouble that validation knows, once, in ``codes.md``: what it is, its harm, how it is mended."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal, cast

__all__ = ["FAMILIES", "KINDS", "Kind", "Severity"]

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Kind:
    """What all findings of one code have in common.

    Args:
        severity: the usual one; files of others and doubtful cases may get a milder one.
        meaning: what the code stands for; for faults of rows the message, with ``{rows}`` and ``{first}``.
        harm: what it does to training.
        remedy: what to do about it.
        mends: what ``--fix`` does; empty: it refuses, since nobody can know what was meant.
    """

    severity: Severity
    meaning: str
    harm: str
    remedy: str
    mends: str = ""

    @property
    def title(self) -> str:
        """The meaning without counts."""
        text = self.meaning.replace(" (first row {first})", "").replace(", first row {first}", "")
        return text.format(rows="rows")


def _read_families() -> dict[str, dict[str, Kind]]:
    found: dict[str, dict[str, Kind]] = {}
    for line in files(__package__).joinpath("codes.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            found[line.removeprefix("## ")] = {}
        elif line.startswith("| `"):
            code, severity, meaning, harm, remedy, mends = line.removeprefix("| ").removesuffix(" |").split(" | ")
            kind = Kind(cast("Severity", severity), meaning, harm, remedy, "" if mends == "-" else mends)
            found[next(reversed(found))][code.strip("`")] = kind
    return found


FAMILIES: Final = _read_families()
"""Family -> code -> kind, in the order of docs/validation.md."""

KINDS: Final = {code: kind for family in FAMILIES.values() for code, kind in family.items()}
"""Code -> kind."""
