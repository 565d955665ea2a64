"""Numbers and rules of the pushing task, without a simulator."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env
from awac_tr.envs.sawyer import task
from awac_tr.envs.sawyer.push import SawyerPushEnv
from awac_tr.envs.sawyer.scene import mesh_folder
from awac_tr.errors import EnvError


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3)])
def test_rewards_are_distances_of_the_puck_whatever_the_shape(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    achieved, desired = rng.uniform(-1, 1, (2, *shape, 4)).astype(np.float32)
    rewards = task.goal_reward(achieved, desired)
    assert rewards.shape == shape
    assert rewards.dtype == np.float32
    expected = -np.linalg.norm(achieved[..., 2:].astype(np.float64) - desired[..., 2:], axis=-1)
    np.testing.assert_allclose(rewards, expected, rtol=1e-6)
    np.testing.assert_array_equal(rewards, task.goal_reward(achieved, desired * [9, 9, 1, 1]))


def test_one_row_and_many_rows_give_the_same_bits() -> None:
    achieved, desired = np.random.default_rng(0).uniform(-0.2, 0.7, (2, 1000, 4)).astype(np.float32)
    together = task.goal_reward(achieved, desired)
    apart = [float(task.goal_reward(one, other)) for one, other in zip(achieved, desired, strict=True)]
    np.testing.assert_array_equal(together, np.float32(apart))


def test_rewards_follow_from_flat_observations() -> None:
    rows = np.random.default_rng(0).uniform(-0.2, 0.7, (50, 8)).astype(np.float32)
    facts = env_info("SawyerPush-v0")
    assert facts.reward_rule is not None
    np.testing.assert_array_equal(facts.reward_rule(rows), task.goal_reward(rows[:, :4], rows[:, 4:]))
    with pytest.raises(EnvError, match=r"are \[N, 8\], not \[50, 7\]"):
        facts.reward_rule(rows[:, :7])


def test_goals_fill_the_box_and_are_not_in_one_another() -> None:
    goals = task.draw_goals(4000, np.random.default_rng(0))
    assert goals.shape == (4000, 4)
    assert goals.dtype == np.float32
    for part in (goals[:, :2], goals[:, 2:]):
        np.testing.assert_allclose(part.min(axis=0), task.LOW, atol=5e-3)
        np.testing.assert_allclose(part.max(axis=0), task.HIGH, atol=5e-3)
        assert (part >= np.float32(task.LOW)).all()
        assert (part <= np.float32(task.HIGH)).all()
    apart = np.hypot(*(goals[:, :2] - goals[:, 2:]).T)
    assert task.REACH - 1e-6 < apart.min() < task.REACH + 5e-3
    np.testing.assert_array_equal(goals[:9], task.draw_goals(4000, np.random.default_rng(0))[:9])


def test_drawn_goals_may_be_none() -> None:
    assert task.draw_goals(0, np.random.default_rng(0)).shape == (0, 4)


@pytest.mark.parametrize("made", [SawyerPushEnv, lambda: make_env("SawyerPush-v0")])
def test_without_the_meshes_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvError, match="needs the arm's meshes of the package metaworld") as caught:
        made()
    assert caught.value.hint == 'Install it with: pip install "awac-tr[sawyer]"'
    assert env_info("SawyerPush-v0").observation_size == 8


def test_another_package_of_that_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(EnvError, match="has no meshes of the arm in"):
        mesh_folder()
    (tmp_path / "assets" / "objects" / "meshes" / "xyz_base").mkdir(parents=True)
    with pytest.raises(EnvError, match="cannot be built with the meshes in"):
        SawyerPushEnv()
