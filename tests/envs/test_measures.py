from __future__ import annotations

import numpy as np
import pytest

from awac_tr.envs.episode import Episode
from awac_tr.envs.measures import SUCCESS_MEASURES, measure


def _episode(success: list[bool] | None, length: int = 4) -> Episode:
    length = length if success is None else len(success)
    rewards = np.full(length, -1, np.float32) if success is None else np.array(success, np.float32) - 1
    ends = np.arange(length) == length - 1
    infos = {} if success is None else {"success": np.array(success)}
    rows = np.zeros((length, 2), np.float32)
    return Episode(rows, rows, rewards, rows, ends & False, ends, infos, seed=0)


def test_the_four_measures_return_and_length() -> None:
    episodes = (_episode(success) for success in ([False, True, True, False], [False] * 5, [True] * 3))
    measures = measure(episodes, goal_steps=2)
    expected = {
        "return": [-2, -5, 0],
        "length": [4, 5, 3],
        "success_any": [1, 0, 1],
        "success_last": [0, 0, 1],
        "success_share": [0.5, 0, 1],
        "success_steps": [0, 0, 1],
    }
    assert {name: values.tolist() for name, values in measures.items()} == expected
    assert set(SUCCESS_MEASURES) < set(measures)
    assert {values.dtype for values in measures.values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize(("goals", "solved"), [(25, 0.0), (26, 1.0)])
def test_goal_steps_must_be_exceeded(goals: int, solved: float) -> None:
    success = [True] * goals + [False] * (200 - goals)
    assert measure([_episode(success)], goal_steps=25)["success_steps"].tolist() == [solved]


def test_without_success_there_are_return_and_length() -> None:
    assert set(measure([_episode(None)], goal_steps=None)) == {"return", "length"}


def test_without_goal_steps_that_measure_is_left_out() -> None:
    assert set(measure([_episode([True])], None)) == {"return", "length", *SUCCESS_MEASURES} - {"success_steps"}


def test_no_episodes_give_empty_measures() -> None:
    assert {name: len(values) for name, values in measure([], 20).items()} == {"return": 0, "length": 0}
