"""Episodes that an import leaves out: counted, said, and too many refused."""

from __future__ import annotations

from typing import Final

from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.errors import DatasetError

__all__ = ["LEFT_OUT", "LeftOut"]

LEFT_OUT: Final = "left_out"
"""Key of ``extra`` in a dataset's attributes."""
_MOST: Final = 0.5
"""Share of episodes that may be left out: beyond it the recording, and not a few of its episodes, is at fault."""
_NAMED: Final = 3


class LeftOut:
    """What was wrong with episodes that are left out.

    Args:
        name: of the recording.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._errors: list[UnusableEpisodeError] = []

    def add(self, error: UnusableEpisodeError) -> None:
        """Leave an episode out."""
        self._errors.append(error)

    def sentence(self, kept: int) -> str:
        """How many were left out and why, the first few named; empty where none was.

        Args:
            kept: episodes that are stored.

        Raises:
            DatasetError: these are more than half of all.
        """
        left, total = len(self._errors), len(self._errors) + kept
        if not left:
            return ""
        reasons = "; ".join(error.message for error in self._errors[:_NAMED]) + ("; ..." if left > _NAMED else "")
        if left > _MOST * total:
            hint = self._errors[0].hint or "Up to half of the episodes may be left out: mend what recorded them."
            which = "its one episode" if total == 1 else f"{left} of {total} episodes"
            where = "" if self._name in reasons else f"{self._name}: "
            raise DatasetError(f"{where}{which} cannot be used: {reasons}", hint)
        return f"{left} of {total} episodes left out: {reasons}"
