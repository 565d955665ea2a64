"""Timing that a busy machine does not bend: short blocks of all that is compared, in turns, and their medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import torch

from awac_tr.utils.threads import intra_op_threads

__all__ = ["Rate", "Task", "Tell", "fitted", "in_turns", "ratio", "settle"]

_DIGITS: Final = 5

Tell = Callable[[int], None]
"""Told how many rounds are finished."""


@dataclass(frozen=True)
class Task:
    """Something to be timed: one unit of work, units in a block, intra-op threads (None: as many as before)."""

    step: Callable[[], object]
    count: int
    threads: int | None = None


@dataclass(frozen=True)
class Rate:
    """How often something was done in a second, block by block.

    Attributes:
        samples: units per second of wall time, one number a block.
        busy: cores' worth of processor time the process got while it ran: CPU seconds per wall second, median.
    """

    samples: tuple[float, ...]
    busy: float = 1.0

    @property
    def median(self) -> float:
        """The number that is quoted."""
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        """The slowest block."""
        return min(self.samples)

    @property
    def high(self) -> float:
        """The fastest block."""
        return max(self.samples)

    def scaled(self, factor: float) -> Rate:
        """The same measurement in another unit."""
        return Rate(tuple(sample * factor for sample in self.samples), self.busy)

    def to_json(self) -> dict[str, Any]:
        """Median, extremes and all blocks, as plain numbers."""
        numbers = {"median": self.median, "low": self.low, "high": self.high, "busy": self.busy}
        return {
            **{name: float(f"{value:.{_DIGITS}g}") for name, value in numbers.items()},
            "samples": [float(f"{sample:.{_DIGITS}g}") for sample in self.samples],
        }


def ratio(ours: Rate, theirs: Rate) -> float:
    """How many times faster, as the median over pairs of neighbouring blocks: what slows both down cancels.

    Example:
        >>> ratio(Rate((4.0, 2.0, 9.0)), Rate((2.0, 1.0, 3.0)))
        2.0
    """
    return statistics.median(mine / other for mine, other in zip(ours.samples, theirs.samples, strict=True))


def in_turns(
    tasks: Mapping[str, Task], blocks: int, *, device: torch.device | str = "cpu", tell: Tell = lambda _: None
) -> dict[str, Rate]:
    """Time tasks that are warmed up already, one block of each after the other, again and again.

    Args:
        tasks: by name.
        blocks: of each, and samples in its rate.
        device: waited for at the end of a block.
        tell: called with the number of rounds finished.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for block in range(blocks):
        for name, task in tasks.items():
            seconds[name].append(_timed(task, torch.device(device)))
        tell(block + 1)
    return {
        name: Rate(
            tuple(tasks[name].count / wall for wall, _ in pairs),
            statistics.median(processor / wall for wall, processor in pairs),
        )
        for name, pairs in seconds.items()
    }


def fitted(task: Task, seconds: float, device: torch.device | str = "cpu") -> Task:
    """The task with fewer units, at least one, where a block of it would take longer than so many seconds."""
    wall, _ = _timed(replace(task, count=1), torch.device(device))
    return replace(task, count=max(1, min(task.count, round(seconds / wall))))


def _timed(task: Task, device: torch.device) -> tuple[float, float]:
    """Wall and processor seconds of one block."""
    with intra_op_threads(task.threads):
        settle(device)
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(task.count):
            task.step()
        settle(device)
        return time.perf_counter() - wall, time.process_time() - processor


def settle(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize()
