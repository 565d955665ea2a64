"""Which settings are chosen from given numbers, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from awac_tr.bench.advice import Advice, Timed, advise
from awac_tr.bench.clock import Rate
from awac_tr.bench.subject import Setting

EAGER, COMPILED = Setting("fp32", compile=False), Setting("fp32", compile=True)
HALF, HALF_COMPILED = Setting("bf16", compile=False), Setting("bf16", compile=True)


def advice(rates: dict[Setting, tuple[float, float]], **kwargs: Any) -> Advice:
    """Advice on settings -> (updates a second, seconds to start)."""
    timed = [Timed(setting, Rate((rate,) * 5), start) for setting, (rate, start) in rates.items()]
    options: dict[str, Any] = {"by_threads": {}, "own": EAGER, "updates": 100_000} | kwargs
    return advise(timed, options.pop("by_threads"), **options)


ALL = {EAGER: (20.0, 0.0), COMPILED: (26.0, 40.0), HALF: (45.0, 1.0), HALF_COMPILED: (75.0, 30.0)}


def test_the_fastest_for_a_long_run() -> None:
    found = advice(ALL)
    assert found.setting == HALF_COMPILED
    assert found.overrides == ["precision=bf16", "compile=true"]
    assert found.seconds == pytest.approx(30 + 100_000 / 75)
    assert found.own_seconds == pytest.approx(100_000 / 20)
    assert found.reasons == (
        "precision=bf16: 75 updates/s against 26 in fp32, 2.9 times the speed.",
        "compile=true: 75 updates/s against 45; the 29 s it takes to start are back after 3,262 of 100,000 updates.",
    )


def test_a_short_run_is_not_worth_compiling() -> None:
    found = advice(ALL, updates=1000)
    assert found.setting == HALF
    assert "compile=false" in found.reasons[1]
    assert "back after 3,262 of 1,000 updates" in found.reasons[1]


def test_compiling_that_makes_slower() -> None:
    found = advice({EAGER: (20.0, 0.0), COMPILED: (18.0, 0.0)})
    assert found.setting == EAGER
    assert found.reasons[1] == "compile=false: compiled it makes 18 updates/s against 20 eager."


@pytest.mark.parametrize(("half", "precision"), [(20.9, "fp32"), (21.1, "bf16")])
def test_coarser_rounding_needs_a_gain(half: float, precision: str) -> None:
    assert advice({EAGER: (20.0, 0.0), HALF: (half, 0.0)}).setting.precision == precision


def test_what_was_not_measured_is_said() -> None:
    found = advice({EAGER: (20.0, 0.0)}, own=HALF)
    assert found.reasons == ("precision=fp32: bf16 was not measured.", "compile=false: compile=true was not measured.")
    assert found.own_seconds is None


@pytest.mark.parametrize(
    ("rates", "threads"),
    [
        ({1: 20.0, 2: 35.0}, 2),
        ({1: 35.0, 2: 36.0}, 1),  # too little for a second core
        ({1: 20.0, 2: 35.0, 4: 36.0}, 2),
        ({1: 20.0, 2: 1.2}, 1),
    ],
)
def test_no_more_threads_than_help(rates: dict[int, float], threads: int) -> None:
    found = advice(ALL, by_threads={count: Rate((rate,) * 5) for count, rate in rates.items()})
    assert found.threads == threads
    assert found.overrides[-1] == f"threads={threads}"
    assert found.reasons[2].startswith(f"threads={threads}: {rates[threads]:g} updates/s")


def test_one_number_of_threads_is_no_choice() -> None:
    found = advice(ALL, by_threads={1: Rate((20.0,))})
    assert found.threads is None
    assert len(found.reasons) == 2


def test_no_updates_at_all() -> None:
    assert advice(ALL, updates=0).seconds == 0
