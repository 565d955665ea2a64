from __future__ import annotations

import numpy as np
import pytest

from awac_tr.envs.goals import door_reward, pen_reward, relocate_reward
from awac_tr.errors import EnvError


def _pen(distance: float, cosine: float) -> np.ndarray:
    row = np.zeros(45, np.float32)
    row[33:36] = (0, 0, 1)
    row[36:39] = (np.sqrt(1 - cosine**2), 0, cosine)
    row[39:42] = distance * np.array([0.6, 0, -0.8])
    return row


def test_pen_needs_place_and_direction() -> None:
    rows = np.stack([_pen(0.07, 0.96), _pen(0.08, 0.96), _pen(0.07, 0.94), _pen(0.07, -0.96)])
    rewards = pen_reward(rows)
    assert rewards.dtype == np.float32
    assert rewards.tolist() == [0, -1, -1, -1]


def test_door_needs_more_than_the_angle() -> None:
    rows = np.zeros((4, 39))
    rows[:, 28] = (1.4, 1.4000001, -1.5, 1.57)
    assert door_reward(rows).tolist() == [-1, 0, -1, 0]
    assert door_reward(rows, hinge=1.35).tolist() == [0, 0, -1, 0]


def test_relocate_measures_ball_to_target_in_three_dimensions() -> None:
    rows = np.zeros((3, 39), np.float32)
    rows[:, 36:39] = [(0.06, 0, 0.079), (0.06, 0, 0.081), (0.1001, 0, 0)]
    rows[:, 30:36] = 0.5
    assert relocate_reward(rows).tolist() == [0, -1, -1]


@pytest.mark.parametrize("rule", [pen_reward, door_reward, relocate_reward])
def test_no_rows_give_no_rewards_and_other_sizes_are_refused(rule: object) -> None:
    assert callable(rule)
    assert rule(np.zeros((0, 45 if rule is pen_reward else 39))).shape == (0,)
    for shape in [(2, 44), (39,), (1, 39, 1)]:
        with pytest.raises(EnvError, match="observations of size"):
            rule(np.zeros(shape))
