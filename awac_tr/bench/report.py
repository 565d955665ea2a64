"""What a bench found, as plain typed values; ``to_json`` is what ``awac-tr bench --json`` prints."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from awac_tr.bench.acting import Round
from awac_tr.bench.advice import Advice, Timed
from awac_tr.bench.clock import Rate, ratio
from awac_tr.bench.flops import Shape
from awac_tr.bench.subject import Setting

__all__ = ["Limit", "Memory", "Peer", "Report", "Variant", "peak_bytes", "resident_bytes"]

VERSION: Final = 1

_STATUS: Final = Path("/proc/self/status")


def resident_bytes() -> int:
    """Memory the process holds now; where the system does not say (no ``/proc``), the peak."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return peak_bytes()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), peak_bytes())


def peak_bytes() -> int:
    """Most that was resident at any time since the process began."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@dataclass(frozen=True)
class Limit:
    """Matrix products alone.

    Attributes:
        precision: ``fp32`` or ``bf16``.
        shape: of the product.
        unit: what multiplies; empty for fp32 on a processor.
        gflops: 10^9 operations a second.
    """

    precision: str
    shape: Shape
    unit: str
    gflops: Rate

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        return vars(self) | {"shape": list(self.shape), "gflops": self.gflops.to_json()}


@dataclass(frozen=True)
class Variant(Timed):
    """The learner with one setting; its rate is updates a second, sampling included.

    Attributes:
        own: it is what the recipe asks for.
        gflops: 10^9 operations a second that the update's products amount to.
        share: of the limit of the same precision, median over neighbouring blocks.
    """

    own: bool
    gflops: float
    share: float

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        return vars(self.setting) | {
            "own": self.own,
            "updates_per_s": self.rate.to_json(),
            "start_seconds": round(self.start_seconds, 2),
            "gflops": round(self.gflops, 1),
            "share_of_limit": round(self.share, 4),
        }


@dataclass(frozen=True)
class Memory:
    """Bytes.

    Attributes:
        stages: resident after each step of the preparation; ``peak``: most at any time.
        row: a transition in the buffer, which holds ``capacity`` of them.
        gpu_peak: most that was allocated on the GPU; None without one.
    """

    stages: dict[str, int]
    peak: int
    row: int
    capacity: int
    gpu_peak: int | None

    @property
    def full_buffer(self) -> int:
        """What the buffer takes when it is full."""
        return self.row * self.capacity

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        return {
            "resident_bytes": self.stages,
            "peak_bytes": self.peak,
            "gpu_peak_bytes": self.gpu_peak,
            "buffer_row_bytes": self.row,
            "buffer_capacity": self.capacity,
            "full_buffer_bytes": self.full_buffer,
        }


@dataclass(frozen=True)
class Peer:
    """Somebody else's AWAC on the same work, timed in turns with ours: updates a second, with and without sampling."""

    name: str
    version: str
    rate: Rate
    update_only: Rate

    def times_faster(self, variant: Variant) -> float:
        """Ours over theirs, both with sampling: median over neighbouring blocks."""
        return ratio(variant.rate, self.rate)


@dataclass(frozen=True)
class Report:
    """Everything that was measured, in the order in which it is told.

    Attributes:
        recipe: its name.
        task: environment, sizes and batch size.
        machine: processor, cores, GPU.
        versions: of the packages that matter.
        device: where updates happened, with so many intra-op ``threads``.
        flops: operations of an update, by part.
        data: where the rows came from, and how long loading took.
        by_threads: threads -> updates a second, with ``thread_setting``; None and empty: not tried.
        bare_steps: environment steps a second with random actions; ``collector_steps``: with the policy.
        round: an online round, with ``round_setting``; None: the recipe has no online phase.
        peer: somebody else's; None: not asked for.
        notes: what a reader of the numbers must know.
    """

    recipe: str
    task: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, Any]
    device: str
    threads: int
    flops: dict[str, int]
    data: dict[str, Any]
    limits: tuple[Limit, ...]
    variants: tuple[Variant, ...]
    thread_setting: Setting | None
    by_threads: dict[int, Rate]
    bare_steps: Rate
    collector_steps: Rate
    round_setting: Setting
    round: Round | None
    memory: Memory
    advice: Advice
    peer: Peer | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The whole report in plain values; ``format`` and ``version`` name the layout."""
        plain = ("recipe", "task", "machine", "versions", "device", "threads", "data")
        setting = self.thread_setting.name if self.thread_setting else ""
        return {
            "format": "awac-tr-bench",
            "version": VERSION,
            **{name: getattr(self, name) for name in plain},
            "flops": {"update": sum(self.flops.values()), "parts": self.flops},
            "limits": [limit.to_json() for limit in self.limits],
            "updates": [variant.to_json() for variant in self.variants],
            "by_threads": [
                {"threads": count, "setting": setting, "updates_per_s": rate.to_json()}
                for count, rate in self.by_threads.items()
            ],
            "steps": {"bare_per_s": self.bare_steps.to_json(), "collector_per_s": self.collector_steps.to_json()},
            "round": None if self.round is None else {"setting": self.round_setting.name, **self.round.to_json()},
            "memory": self.memory.to_json(),
            "against": None if self.peer is None else self._against(self.peer),
            "advice": self.advice.to_json(),
            "notes": list(self.notes),
        }

    def _against(self, peer: Peer) -> dict[str, Any]:
        return {
            "name": peer.name,
            "version": peer.version,
            "updates_per_s": peer.rate.to_json(),
            "update_only_per_s": peer.update_only.to_json(),
            "times_faster": {variant.setting.name: round(peer.times_faster(variant), 3) for variant in self.variants},
        }
