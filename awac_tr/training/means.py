"""Means of scalars over many updates, without waiting for any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tensordict import TensorDictBase

__all__ = ["Means"]


class Means:
    """Adds up what each update returns on the device; only :meth:`take` brings numbers to Python.

    Example:
        >>> from tensordict import TensorDict
        >>> means = Means()
        >>> for value in (1.0, 3.0):
        ...     means.add(TensorDict({"loss": torch.tensor(value)}))
        >>> means.take(), means.take()
        ({'loss': 2.0}, {})
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sums: list[Tensor] = []
        self._count = 0

    def add(self, scalars: TensorDictBase) -> None:
        """Add one update's detached scalars; the names must be the same every time."""
        values = [value.float() for value in scalars.values()]
        if self._count == 0:
            self._names, self._sums = [str(name) for name, _ in scalars.items()], [value.clone() for value in values]
        else:
            torch._foreach_add_(self._sums, values)
        self._count += 1

    def take(self) -> dict[str, float]:
        """The means since the last call, and begin anew; empty when nothing was added."""
        if self._count == 0:
            return {}
        values = (torch.stack(self._sums) / self._count).tolist()
        self._count = 0
        return dict(zip(self._names, values, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """As tensors and plain data."""
        return {"names": list(self._names), "sums": [value.cpu() for value in self._sums], "count": self._count}

    def load_state_dict(self, state: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Take up what :meth:`state_dict` gave."""
        self._names, self._count = list(state["names"]), int(state["count"])
        self._sums = [value.to(device) for value in state["sums"]]
