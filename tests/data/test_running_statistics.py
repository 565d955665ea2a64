"""Statistics in blocks against numpy on everything at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from awac_tr.data.statistics.running import MAX_DISTINCT, Bounded, RunningStatistics, Values

CUTS = [0, 1, 1, 40, 97, 100]


def fed(moments: RunningStatistics, rows: np.ndarray) -> RunningStatistics:
    for start, stop in pairwise(CUTS):
        moments.feed(rows[start:stop])
    return moments


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_moments_are_those_of_numpy_however_the_rows_are_cut(offset: float) -> None:
    rows = (np.random.default_rng(0).normal(size=(100, 3)) + offset).astype(np.float32)
    found, exact = fed(RunningStatistics(3), rows), rows.astype(np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, exact.std(0), rtol=1e-9)
    np.testing.assert_array_equal(found.low, exact.min(0))
    np.testing.assert_array_equal(found.high, exact.max(0))
    assert not found.constant.any()


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 3))
    rows[3, 0], rows[50:60, 0], rows[:, 1] = np.nan, -np.inf, np.inf
    found, kept = fed(RunningStatistics(3), rows), np.delete(rows[:, 0], [3, *range(50, 60)])
    assert found.not_finite.tolist() == [11, 100, 0]
    np.testing.assert_allclose(found.mean[0], kept.mean())
    np.testing.assert_allclose(found.std[0], kept.std())
    assert (found.low[0], found.high[0]) == (kept.min(), kept.max())
    assert (found.low[1], found.high[1], found.std[1]) == (np.inf, -np.inf, 0)


def test_a_constant_column_has_no_deviation_at_all() -> None:
    rows = np.full((100, 2), 0.1, np.float32)
    rows[7, 1] = np.nan
    found = fed(RunningStatistics(2), rows)
    assert found.constant.tolist() == [True, False]
    assert found.std[0] == 0


def test_values_are_counted_while_they_are_few() -> None:
    rewards = np.random.default_rng(0).choice([-1.0, 0.0, 2.5], 100).astype(np.float32)
    rewards[5] = np.nan
    values = Values()
    for start, stop in pairwise(CUTS):
        values.feed(rewards[start:stop])
    assert values.counts == {value: int((rewards == value).sum()) for value in (-1.0, 0.0, 2.5)}
    for start in range(0, 2 * MAX_DISTINCT, 8):
        values.feed(np.arange(start, start + 8.0))
    assert values.counts is None
    values.feed(np.zeros(1))
    assert values.counts is None


def test_entries_at_their_bounds() -> None:
    rows = np.array([[-1, 0.5], [1, 3], [1, -2], [0.999, 0]], np.float32)
    bounded = Bounded([-1, -np.inf], [1, 3])
    bounded.feed(rows[:1])
    bounded.feed(rows[1:])
    low, high = bounded.shares
    assert (low.tolist(), high.tolist()) == ([0.25, 0], [0.5, 0.25])
