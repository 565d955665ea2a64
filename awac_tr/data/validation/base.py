"""What the families share: the block they are fed, what is known of the file, and lists of rows that stay small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from awac_tr.data.format.findings import Finding, finding_of_rows
from awac_tr.data.format.meta import DatasetMeta

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo

__all__ = ["SUCCESS", "Array", "Block", "Check", "Context", "RowList", "constant_entries"]

Array = np.ndarray[Any, Any]

SUCCESS: Final = "infos/success"
_LIMIT: Final = 1_000_000


@dataclass(frozen=True)
class Context:
    """What rows are held against.

    Args:
        meta: what the file says about itself.
        ours: it is in our format.
        env: the environment it names, or that was named for it; None: unknown.
        low: lower bound of each action entry, [a] float32.
        high: upper bound of each action entry, [a] float32.
    """

    meta: DatasetMeta
    ours: bool
    env: EnvInfo | None
    low: Array
    high: Array

    @property
    def horizon(self) -> int | None:
        """Steps before an episode is cut: as the file notes, else as registered."""
        return self.meta.horizon or (self.env.horizon if self.env is not None else None) or None


@dataclass(frozen=True)
class Block:
    """Rows ``start - lead`` to ``stop`` of a file.

    Args:
        start: first row that is new.
        lead: 1 where the arrays begin with the last row of the block before, so that pairs of rows are seen once each.
        arrays: the six arrays in the types of the format, ``infos/success`` where the file has it, and goals
            where it is of a goal environment.
    """

    start: int
    lead: int
    arrays: Mapping[str, Array]
    ends: Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", self.arrays["terminals"] | self.arrays["timeouts"])

    @property
    def base(self) -> int:
        """Row of the file that the arrays begin with."""
        return self.start - self.lead

    def new(self, name: str) -> Array:
        """The new rows of an array."""
        return self.arrays[name][self.lead :]

    def joined(self) -> Array:
        """Of every row but the last: is its next observation, to the bit, the observation of the row after."""
        same: Array = self.arrays["next_observations"][:-1] == self.arrays["observations"][1:]
        return np.asarray(same.all(axis=1))

    def stand_ins(self) -> Array:
        """Of every row: it is an end, and its own observation stands in for a state after it that nobody recorded."""
        same: Array = self.arrays["next_observations"] == self.arrays["observations"]
        return self.ends & same.all(axis=1)


class Check(Protocol):
    """One family of defects."""

    def feed(self, block: Block) -> None:
        """Look at the next block."""

    def findings(self) -> list[Finding]:
        """Everything found, once the last block was fed."""


class RowList:
    """Row numbers in the order they come: all of them up to a million, counted beyond."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[Array] = []

    def add(self, bad: Array | np.bool, base: int) -> None:
        """Note the rows of a block, [n] bool; ``base`` is the row of the file that it begins with."""
        rows = np.flatnonzero(bad) + base
        kept = max(0, _LIMIT - self.count)
        self.count += len(rows)
        if len(rows) and kept:
            self._parts.append(rows[:kept])

    @property
    def rows(self) -> Array:
        """Rows noted, [n] int64."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, dtype=np.int64)

    @property
    def complete(self) -> bool:
        """No row was left out for want of room."""
        return self.count <= _LIMIT

    def finding(self, code: str, where: str, **more: Any) -> list[Finding]:
        """The finding that these rows make, see :func:`finding_of_rows`; none where there are none."""
        return [finding_of_rows(code, where, self.rows, count=self.count, **more)] if self.count else []


def constant_entries(least: Array, most: Array) -> tuple[int, str]:
    """How many entries never vary, and that in words, from the smallest and the largest of each, [d]."""
    fixed = np.flatnonzero(least == most)
    names = ", ".join(str(entry) for entry in fixed[:8]) + (" ..." if len(fixed) > 8 else "")  # noqa: PLR2004
    return len(fixed), f"{len(fixed)} of {len(least)} entries never vary: {names}"
