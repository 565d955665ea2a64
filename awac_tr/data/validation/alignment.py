"""Two arrays that should be equal row by row: where they are not, and whether they would be one row further."""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.validation.base import Array, Block, RowList

__all__ = ["Alignment"]

_TOLERANCE: Final = 1e-5


class Alignment:
    """Compares what is recorded with what is implied, in place and shifted by a row within episodes.

    Attributes:
        wrong: rows where they differ in place.
        rows: rows compared.
    """

    def __init__(self) -> None:
        self.wrong = RowList()
        self.rows = 0
        self._late = self._early = self._pairs = 0
        self._last = (False, 0)

    def feed(self, block: Block, recorded: Array, implied: Array) -> None:
        """Compare a block.

        Args:
            block: where the arrays come from.
            recorded: [n], with the block's leading row.
            implied: [n], likewise.
        """
        wrong, inside = np.abs(recorded - implied) > _TOLERANCE, ~block.ends[:-1]
        # Where the next observation is of another episode, nothing follows from it: that is a fault of its own. The
        # last row is known to be none only when the row after has been seen.
        self.wrong.add(wrong[:-1] & ~(block.joined() & block.ends[:-1]), block.base)
        self._last = (bool(wrong[-1]), block.base + len(wrong) - 1)
        self._late += int((np.abs(recorded[1:] - implied[:-1]) > _TOLERANCE)[inside].sum())
        self._early += int((np.abs(recorded[:-1] - implied[1:]) > _TOLERANCE)[inside].sum())
        self._pairs += int(inside.sum())
        self.rows += len(recorded) - block.lead

    def finish(self) -> None:
        """Count the last row of the file, too."""
        wrong, row = self._last
        self.wrong.add(np.array([wrong]), row)
        self._last = (False, row)

    def shift(self) -> int:
        """-1 where each row has what the row before implies, 1 what the row after implies, 0 where neither.

        A shift is said where it explains every row inside episodes, and more than one differs in place.
        """
        if self.wrong.count < 2 or not self._pairs:  # noqa: PLR2004  (one row fits any story)
            return 0
        return -1 if not self._late else 1 if not self._early else 0
