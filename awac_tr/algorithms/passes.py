"""Minibatches of shuffled passes over rows, which go on where they were after a resume."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["ShuffledPasses"]


class ShuffledPasses:
    """Draws orders from torch's global generator: one number a pass, so that its state is small.

    The last minibatch of a pass is filled up with the first rows of it.
    """

    def __init__(self) -> None:
        self._seed, self._taken = 0, 0
        self._order: Tensor | None = None

    def begin(self) -> None:
        """Begin a new pass with the next minibatch."""
        self._order, self._taken = None, 0
        self._seed = int(torch.randint(2**31, ()))

    def take(self, rows: int, size: int) -> Tensor:
        """Numbers of the next rows [min(size, rows)] int64, of ``rows`` in all, on the CPU."""
        size = min(size, rows)
        if self._taken * size >= rows:
            self.begin()
        if self._order is None:
            self._order = torch.randperm(rows, generator=torch.Generator().manual_seed(self._seed))
        first, self._taken = self._taken * size, self._taken + 1
        return self._order[torch.arange(first, first + size) % rows]

    def state_dict(self) -> dict[str, Any]:
        """Which pass it is and how many minibatches of it were taken."""
        return {"seed": self._seed, "taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._seed, self._taken, self._order = state["seed"], state["taken"], None
