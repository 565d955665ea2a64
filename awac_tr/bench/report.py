"""What a bench found, as plain typed values; ``to_json`` is what ``awac-tr bench --json`` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from awac_tr.bench.acting import Round
from awac_tr.bench.advice import Advice
from awac_tr.bench.clock import Rate, ratio
from awac_tr.bench.subject import Setting

__all__ = ["Limit", "Memory", "Peer", "Report", "Variant"]

VERSION: Final = 1


@dataclass(frozen=True)
class Limit:
    """Matrix products alone.

    Attributes:
        precision: ``fp32`` or ``bf16``.
        shape: (rows, n, m) of the product [rows, n] x [n, m].
        unit: what multiplies; empty for fp32 on a processor.
        gflops: 10^9 operations a second.
    """

    precision: str
    shape: tuple[int, int, int]
    unit: str
    gflops: Rate

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        return {
            "precision": self.precision,
            "shape": list(self.shape),
            "unit": self.unit,
            "gflops": self.gflops.to_json(),
        }


@dataclass(frozen=True)
class Variant:
    """The learner with one setting.

    Attributes:
        setting: precision and compile.
        own: it is what the recipe asks for.
        rate: updates a second, sampling included.
        start_seconds: beyond what those updates themselves take, before the first updates are done: compiling.
        gflops: 10^9 operations a second that the update's products amount to.
        share: of the limit of the same precision, median over neighbouring blocks.
    """

    setting: Setting
    own: bool
    rate: Rate
    start_seconds: float
    gflops: float
    share: float

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        return {
            "precision": self.setting.precision,
            "compile": self.setting.compile,
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
        stages: resident after each step of the preparation.
        peak: most that was resident at any time.
        row: a transition in the buffer.
        capacity: rows that the recipe's buffer holds.
        gpu_peak: most that was allocated on the GPU; None without one.
    """

    stages: dict[str, int]
    peak: int
    row: int
    capacity: int
    gpu_peak: int | None = None

    @property
    def full_buffer(self) -> int:
        """What the buffer takes when it is full."""
        return self.row * self.capacity

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        return {
            "resident_bytes": dict(self.stages),
            "peak_bytes": self.peak,
            "gpu_peak_bytes": self.gpu_peak,
            "buffer_row_bytes": self.row,
            "buffer_capacity": self.capacity,
            "full_buffer_bytes": self.full_buffer,
        }


@dataclass(frozen=True)
class Peer:
    """Somebody else's AWAC on the same work, timed in turns with ours.

    Attributes:
        name: of the package.
        version: of the package.
        rate: updates a second, sampling included.
        update_only: updates a second on one batch.
    """

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
        device: where updates happened.
        threads: intra-op threads.
        flops: operations of an update, by part.
        data: where the rows came from, and how long loading took.
        limits: matrix products, by precision.
        variants: the learner, by setting.
        thread_setting: with which threads were tried; None: they were not.
        by_threads: threads -> updates a second.
        bare_steps: environment steps a second with random actions.
        collector_steps: through our collector with the policy.
        round_setting: with which online rounds were run.
        round: an online round; None: the recipe has no online phase.
        memory: bytes.
        advice: which settings to choose.
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
    peer: Peer | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """The whole report in plain values; ``format`` and ``version`` name the layout."""
        return {
            "format": "awac-tr-bench",
            "version": VERSION,
            "recipe": self.recipe,
            "task": self.task,
            "machine": self.machine,
            "versions": self.versions,
            "device": self.device,
            "threads": self.threads,
            "flops": {"update": sum(self.flops.values()), "parts": self.flops},
            "data": self.data,
            "limits": [limit.to_json() for limit in self.limits],
            "updates": [variant.to_json() for variant in self.variants],
            "by_threads": self._threads(),
            "steps": {"bare_per_s": self.bare_steps.to_json(), "collector_per_s": self.collector_steps.to_json()},
            "round": None if self.round is None else {"setting": self.round_setting.name, **self.round.to_json()},
            "memory": self.memory.to_json(),
            "against": self._against(),
            "advice": self.advice.to_json(),
            "notes": list(self.notes),
        }

    def _threads(self) -> list[dict[str, Any]]:
        if self.thread_setting is None:
            return []
        name = self.thread_setting.name
        return [
            {"threads": count, "setting": name, "updates_per_s": rate.to_json()}
            for count, rate in self.by_threads.items()
        ]

    def _against(self) -> dict[str, Any] | None:
        if self.peer is None:
            return None
        return {
            "name": self.peer.name,
            "version": self.peer.version,
            "updates_per_s": self.peer.rate.to_json(),
            "update_only_per_s": self.peer.update_only.to_json(),
            "times_faster": {
                variant.setting.name: round(self.peer.times_faster(variant), 3) for variant in self.variants
            },
        }
