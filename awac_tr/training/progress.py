"""Where a run stands: two counters from which everything else follows, and sums of what is not logged yet."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tensordict import TensorDictBase

    from awac_tr.recipes.schema import Recipe

__all__ = ["Phase", "Progress", "RunningMeans"]

Phase = Literal["offline", "online"]


@dataclass
class Progress:
    """Counters of a run; saved with every checkpoint.

    Algorithm 1 in two numbers: the updates of the offline phase are owed from the beginning, each environment step then
    owes ``updates_per_step`` more, and steps are taken when nothing is owed.

    Attributes:
        update: gradient steps made.
        env_step: environment steps taken.
        evaluated: (update, env_step) of the last evaluation; None: none yet.
        clone_evaluated: whether the clone that made the data has been measured.
        checkpointed: (update, env_step) of ``last.pt``; None: none yet.
        best: value of the checkpoint measure, and the return, of ``best.pt``; None: none yet.
        wall: seconds since the beginning, pauses left out, at the last row or checkpoint.
        seconds: of them by part: update, collect, evaluate, checkpoint.
    """

    update: int = 0
    env_step: int = 0
    evaluated: tuple[int, int] | None = None
    clone_evaluated: bool = False
    checkpointed: tuple[int, int] | None = None
    best: tuple[float, float] | None = None
    wall: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def counters(self) -> tuple[int, int]:
        """(update, env_step)."""
        return self.update, self.env_step

    @property
    def phase(self) -> Phase:
        """``offline`` until the first environment step."""
        return "online" if self.env_step else "offline"

    def owed(self, recipe: Recipe) -> int:
        """Updates to make before the next environment step."""
        return recipe.offline.updates + round(self.env_step * recipe.online.updates_per_step) - self.update

    def at_rest(self, recipe: Recipe) -> bool:
        """Nothing is owed, and it is the border between the phases or the end."""
        return self.owed(recipe) <= 0 and (self.env_step == 0 or self.env_step >= recipe.online.steps)

    def finished(self, recipe: Recipe) -> bool:
        """All steps are taken and all updates made."""
        return self.owed(recipe) <= 0 and self.env_step >= recipe.online.steps

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the wall time of a block to a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start

    def to_plain(self) -> dict[str, Any]:
        """As plain data for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> Progress:
        """From :meth:`to_plain`'s data."""
        pairs = {name: tuple(data[name]) for name in ("evaluated", "checkpointed", "best") if data[name] is not None}
        return cls(**{**data, **pairs})


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
