"""Coverage is the number its docstring defines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from awac_tr.data.plots.coverage import coverage, nearest
from awac_tr.data.plots.sample import Sample, take_sample

Make = Callable[..., Path]


@pytest.fixture
def sample(make: Make) -> Sample:
    return take_sample(make())


def drawn(like: Sample, states: np.ndarray, episodes: np.ndarray) -> Sample:
    return replace(like, states=states.astype(np.float32), episodes=episodes)


def test_nearest_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(700, 4)) + 100, rng.normal(size=(90, 4)) + 100
    distances = np.linalg.norm(one[:, None] - other, axis=2)
    np.testing.assert_allclose(nearest(one, other), distances.min(1), rtol=1e-9)
    labels = np.arange(90) // 7
    own = np.linalg.norm(other[:, None] - other, axis=2)
    own[labels[:, None] == labels] = np.inf
    np.testing.assert_allclose(nearest(other, other, apart=labels), own.min(1), rtol=1e-9)


def test_as_defined_step_by_step(sample: Sample) -> None:
    rng = np.random.default_rng(1)
    known, other = rng.normal(size=(200, 3)) * [1, 10, 0] + 7, rng.normal(size=(150, 3)) * [1, 10, 0] + [8, 7, 7]
    episodes = np.arange(200) // 20
    scale = other.astype(np.float32).std(0)
    scale[2] = 1
    a, b = known / scale, other / scale
    own = np.linalg.norm(b[:, None] - b, axis=2)
    own[episodes[:150, None] == episodes[:150]] = np.inf
    typical = np.quantile(own.min(1), 0.95)
    distances = np.linalg.norm(b[:, None] - a, axis=2).min(1)
    found = coverage(drawn(sample, known, episodes), drawn(sample, other, episodes[:150]))
    assert found.typical == pytest.approx(typical, rel=1e-4)
    assert found.share == pytest.approx((distances <= typical).mean())
    assert 0.2 < found.share < 0.98
    np.testing.assert_allclose(found.distances, distances / typical, rtol=1e-3)


def test_fresh_episodes_of_the_same_kind_are_covered_by_about_as_much_as_promised(sample: Sample) -> None:
    rng = np.random.default_rng(2)
    first, second = (drawn(sample, rng.normal(size=(2000, 3)), np.arange(2000) // 50) for _ in range(2))
    assert coverage(first, second).share == pytest.approx(0.95, abs=0.02)
    far = replace(second, states=second.states + 100)
    assert coverage(first, far).share == 0
    inside = replace(second, states=second.states / 10)
    assert coverage(first, inside).share < coverage(second, first).share
    assert coverage(inside, first).share < 0.3


def test_more_episodes_never_cover_less(sample: Sample) -> None:
    rng = np.random.default_rng(3)
    other = drawn(sample, rng.normal(size=(500, 3)), np.arange(500) // 50)
    states, episodes = rng.normal(size=(400, 3)), np.arange(400) // 20
    shares = [coverage(drawn(sample, states[:rows], episodes[:rows]), other).share for rows in (1, 20, 100, 400)]
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] > 0.8


def test_of_one_episode_other_rows_are_taken(sample: Sample) -> None:
    line = drawn(sample, np.arange(100.0)[:, None], np.zeros(100, int))
    found = coverage(line, line)
    assert found.typical == pytest.approx(1 / np.arange(100.0).std())
    assert found.share == 1


def test_of_states_that_never_change(sample: Sample) -> None:
    same = drawn(sample, np.ones((10, 2)), np.arange(10))
    half = drawn(sample, np.repeat([[1.0, 1.0], [1.0, 2.0]], 5, 0), np.arange(10))
    assert coverage(half, same).share == 1
    assert coverage(same, half).share == 0.5
    far = replace(same, states=same.states + 1)
    assert coverage(far, same).share == 0
    nothing = drawn(sample, np.ones((0, 2)), np.arange(0))
    assert np.isnan(coverage(nothing, same).share)
    assert np.isnan(coverage(same, nothing).share)
