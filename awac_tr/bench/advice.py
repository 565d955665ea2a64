"""Which precision, compilation and threads to choose, and the numbers that decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from awac_tr.bench.clock import Rate, ratio
from awac_tr.bench.subject import Setting

__all__ = ["Advice", "Timed", "advise"]

WORTHWHILE: Final = 1.05
"""Less of a gain is not worth a setting that rounds more coarsely, or takes a core from others."""


@dataclass(frozen=True)
class Timed:
    """A setting, how fast it is, and what it costs to start."""

    setting: Setting
    rate: Rate
    start_seconds: float

    def seconds(self, updates: int) -> float:
        """For so many updates, starting included."""
        return self.start_seconds + updates / self.rate.median


@dataclass(frozen=True)
class Advice:
    """What to write into the recipe.

    Attributes:
        setting: precision and compile.
        threads: intra-op threads; None: nothing was tried beside the present number.
        reasons: a sentence for each choice, with its numbers.
        seconds: of all updates of the recipe with these settings.
        own_seconds: the same with the recipe's own; None: they were not measured.
    """

    setting: Setting
    threads: int | None
    reasons: tuple[str, ...]
    seconds: float
    own_seconds: float | None

    @property
    def overrides(self) -> list[str]:
        """As ``awac-tr train`` takes them: ``precision=bf16``, ``compile=true``, ``threads=2``."""
        threads = [] if self.threads is None else [f"threads={self.threads}"]
        return [f"precision={self.setting.precision}", f"compile={str(self.setting.compile).lower()}", *threads]

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        return vars(self.setting) | {
            "threads": self.threads,
            "overrides": self.overrides,
            "reasons": list(self.reasons),
            "update_seconds": round(self.seconds, 1),
            "own_update_seconds": None if self.own_seconds is None else round(self.own_seconds, 1),
        }


def advise(timed: Sequence[Timed], by_threads: Mapping[int, Rate], *, own: Setting, updates: int) -> Advice:
    """Choose bfloat16 where it saves at least 5 % of the recipe's time, compiling where it saves any, few threads.

    Args:
        timed: the learner with each setting that was measured, in turns.
        by_threads: updates a second with so many intra-op threads, in turns; empty: not tried. The fewest within 5 % of
            the fastest are chosen.
        own: the recipe's setting.
        updates: that the recipe makes in all: compiling has to pay within them.
    """
    best = {
        precision: min((one for one in timed if one.setting.precision == precision), key=lambda t: t.seconds(updates))
        for precision in sorted({one.setting.precision for one in timed})
    }
    precision, why_precision = _precision(best, updates)
    chosen = best[precision]
    why_compile = _compile([one for one in timed if one.setting.precision == precision], chosen, updates)
    threads, why_threads = _threads(by_threads)
    mine = next((one for one in timed if one.setting == own), None)
    return Advice(
        chosen.setting,
        threads,
        (why_precision, why_compile, *why_threads),
        chosen.seconds(updates),
        None if mine is None else mine.seconds(updates),
    )


def _precision(best: Mapping[str, Timed], updates: int) -> tuple[str, str]:
    if len(best) == 1:
        (only,) = best
        return only, f"precision={only}: {'bf16' if only == 'fp32' else 'fp32'} was not measured."
    gain = best["fp32"].seconds(updates) / best["bf16"].seconds(updates)
    fast, slow = (f"{best[name].rate.median:.3g}" for name in ("bf16", "fp32"))
    if gain >= WORTHWHILE:
        return "bf16", f"precision=bf16: {fast} updates/s against {slow} in fp32, {gain:.1f} times the speed."
    return "fp32", f"precision=fp32: {slow} updates/s against {fast} in bf16, too little a gain for coarser rounding."


def _compile(timed: Sequence[Timed], chosen: Timed, updates: int) -> str:
    key = f"compile={str(chosen.setting.compile).lower()}"
    other = next((one for one in timed if one.setting.compile != chosen.setting.compile), None)
    if other is None:
        return f"{key}: compile={str(not chosen.setting.compile).lower()} was not measured."
    eager, compiled = (other, chosen) if chosen.setting.compile else (chosen, other)
    speeds = f"{compiled.rate.median:.3g} updates/s against {eager.rate.median:.3g}"
    saved = 1 / eager.rate.median - 1 / compiled.rate.median
    cost = max(0.0, compiled.start_seconds - eager.start_seconds)
    if saved <= 0 or ratio(compiled.rate, eager.rate) <= 1:
        return f"{key}: compiled it makes {speeds} eager."
    when = f"the {cost:.0f} s it takes to start are back after {cost / saved:,.0f} of {updates:,} updates"
    return f"{key}: {speeds}; {when}."


def _threads(by_threads: Mapping[int, Rate]) -> tuple[int | None, list[str]]:
    if len(by_threads) < 2:  # noqa: PLR2004  (nothing to compare)
        return None, []
    fastest = max(by_threads, key=lambda count: by_threads[count].median)
    close = [count for count, rate in by_threads.items() if ratio(by_threads[fastest], rate) < WORTHWHILE]
    chosen = min([fastest, *close])
    others = ", ".join(f"{rate.median:.3g} with {count}" for count, rate in by_threads.items() if count != chosen)
    return chosen, [f"threads={chosen}: {by_threads[chosen].median:.3g} updates/s, {others}."]
