"""RunningMeans of scalars over many updates, without waiting for any of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tensordict import TensorDictBase

__all__ = ["RunningMeans"]


class RunningMeans:
    """Adds up what each update returns on the device; only :meth:`take` brings numbers to Python.

    Example:
        >>> from tensordict import TensorDict
        >>> means = RunningMeans()
        >>> for value in (1.0, 3.0):
        ...     means.add(TensorDict({"loss": torch.tensor(value)}))
        >>> means.take(), means.take()
        ({'loss': 2.0}, {})
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], _Sum] = {}

    def add(self, scalars: TensorDictBase) -> None:
        """Add one update's detached scalars."""
        names = tuple(scalars.keys())
        if not names:
            return
        values = [value.float() for value in scalars.values()]
        group = self._groups.get(names)
        if group is None:
            self._groups[names] = _Sum([value.clone() for value in values], 1)
        else:
            torch._foreach_add_(group.values, values)
            group.count += 1

    def take(self) -> dict[str, float]:
        """The means since the last call, each over the updates that had it, and begin anew; empty after none."""
        sums: dict[str, float] = {}
        counts: Counter[str] = Counter()
        for names, group in self._groups.items():
            for name, value in zip(names, torch.stack(group.values).tolist(), strict=True):
                sums[name] = sums.get(name, 0.0) + value
                counts[name] += group.count
        self._groups = {}
        return {name: value / counts[name] for name, value in sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """As tensors and plain data."""
        groups = self._groups.items()
        return {
            "groups": [
                {"names": list(names), "sums": [value.cpu() for value in group.values], "count": group.count}
                for names, group in groups
            ]
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Take up what :meth:`state_dict` gave."""
        self._groups = {
            tuple(group["names"]): _Sum([value.to(device) for value in group["sums"]], int(group["count"]))
            for group in state["groups"]
        }


@dataclass
class _Sum:
    """Of the scalars of updates that gave the same names."""

    values: list[Tensor]
    count: int
