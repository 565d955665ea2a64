"""Aggregates and intervals, against rliable 1.2.0's numbers and by hand.

``rliable.json`` holds scores, rliable's aggregates of them, resampled indices [40, runs, tasks] in order as one string
of digits, and the interval that rliable makes of these very resamples (with pandas 2: beside 3 it does not import).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from awac_tr.experiments.statistics import (
    bootstrap_interval,
    coverage,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    resampled,
)

RLIABLE = json.loads((Path(__file__).parent / "rliable.json").read_text(encoding="utf-8"))
X, Y = (list(np.array(RLIABLE[name]).T) for name in "xy")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iqm", interquartile_mean(X)),
        ("mean", mean(X)),
        ("median", median(X)),
        ("gap", optimality_gap(X)),
        ("poi", probability_of_improvement(X, Y)),
        ("profile", performance_profile(X, np.array([0.0, 0.25, 0.5, 0.75]))),
    ],
)
def test_aggregates_are_those_of_rliable(name: str, value: np.ndarray) -> None:
    np.testing.assert_allclose(value, RLIABLE[name], rtol=0, atol=1e-9)


def test_the_interval_of_the_same_resamples_is_that_of_rliable() -> None:
    indices = np.array([int(digit) for digit in RLIABLE["indices"]]).reshape(40, 5, 3)
    resamples = [task[indices[:, :, number]] for number, task in enumerate(X)]
    np.testing.assert_allclose(bootstrap_interval(interquartile_mean, resamples), RLIABLE["ci"], rtol=0, atol=1e-9)


def test_resamples_are_drawn_within_each_task_and_repeat_by_seed() -> None:
    scores = [np.array([1.0, 2.0]), np.array([10.0, 20.0, 30.0])]
    first, again = resampled(scores, seed=3, resamples=50), resampled(scores, seed=3, resamples=50)
    assert [task.shape for task in first] == [(50, 2), (50, 3)]
    assert set(first[0].ravel()) == {1, 2}
    assert set(first[1].ravel()) == {10, 20, 30}
    assert all(np.array_equal(mine, other) for mine, other in zip(first, again, strict=True))


def test_points_of_a_curve_keep_their_runs_together() -> None:
    curve = np.stack([np.arange(4.0), np.arange(4.0) + 100])  # [points, runs]
    (drawn,) = resampled([curve], seed=0, resamples=20)
    assert drawn.shape == (20, 2, 4)
    np.testing.assert_array_equal(drawn[:, 1] - drawn[:, 0], 100)
    low, high = bootstrap_interval(mean, [drawn])
    assert low.shape == high.shape == (2,)


def test_tasks_with_unequal_numbers_of_runs_count_alike_in_the_mean() -> None:
    scores = [np.array([0.0, 1.0]), np.array([2.0])]
    assert mean(scores) == 1.25
    assert optimality_gap(scores) == pytest.approx(1 - (0.5 + 1) / 2)


def test_the_stated_coverage_is_what_simulation_gives() -> None:
    generator = np.random.default_rng(0)
    for seeds in (2, 3, 5):
        values = generator.standard_normal((2_000, seeds))
        (drawn,) = resampled([values], seed=seeds, resamples=400)
        low, high = bootstrap_interval(mean, [drawn])
        held = np.mean((low <= 0) & (high >= 0))
        assert coverage(seeds) == pytest.approx(held, abs=0.03)
    assert coverage(1) == 0
    assert coverage(50) == coverage(8) < 0.95
