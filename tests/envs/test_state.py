"""States read and set behind wrappers, and starts rebuilt from what demonstrations note."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from awac_tr.envs.make import make_env
from awac_tr.envs.state import has_pose, pose_of, rebuilt_pose, set_pose
from awac_tr.errors import EnvError

OURS = ("door-binary-v0", "pen-binary-v0", "relocate-binary-v0")


def play(env: gymnasium.Env[Any, Any], steps: int = 30) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    size = env.action_space.shape
    return [env.step(rng.uniform(-1, 1, size).astype(np.float32))[0] for _ in range(steps)]


@pytest.mark.parametrize("env_id", [*OURS, "HalfCheetah-v5"])
def test_from_the_pose_of_a_start_everything_is_the_same_to_the_bit(env_id: str) -> None:
    env = make_env(env_id)
    first, _ = env.reset(seed=3)
    pose = pose_of(env)
    states = play(env)
    env.reset(seed=4)
    np.testing.assert_array_equal(set_pose(env, pose | {"other": np.zeros(1)}), first)
    np.testing.assert_array_equal(play(env), states)


@pytest.mark.parametrize("env_id", [*OURS, "HalfCheetah-v5"])
def test_a_step_from_a_pose_in_the_middle_agrees_closely(env_id: str) -> None:
    env = make_env(env_id)
    env.reset(seed=3)
    play(env)
    pose = pose_of(env)
    ((following),) = play(env, 1)
    env.reset(seed=4)
    set_pose(env, pose)
    np.testing.assert_allclose(play(env, 1)[0], following, atol=1e-4)


@pytest.mark.parametrize("env_id", OURS)
def test_a_start_is_rebuilt_from_the_first_observation(env_id: str) -> None:
    env = make_env(env_id)
    first, _ = env.reset(seed=3)
    truth = pose_of(env)
    noted = truth | {"qpos": truth["qpos"].copy()}
    hand = slice(0, 28) if env_id.startswith("door") else slice(0, 24)
    noted["qpos"][hand] += 0.1
    env.reset(seed=4)
    found = rebuilt_pose(env, first, noted)
    np.testing.assert_allclose(found["qpos"], truth["qpos"], atol=1e-5)
    np.testing.assert_allclose(set_pose(env, found), first, atol=1e-5)


def test_names_of_hand_dapg_are_understood() -> None:
    env = make_env("door-binary-v0")
    first, _ = env.reset(seed=3)
    truth = pose_of(env)
    noted = {"qpos": truth["qpos"], "qvel": truth["qvel"], "door_body_pos": truth["door_pos"]}
    np.testing.assert_array_equal(rebuilt_pose(env, first, noted)["door_pos"], truth["door_pos"])
    with pytest.raises(EnvError, match="lacks door_pos"):
        rebuilt_pose(env, first, {"qpos": truth["qpos"], "qvel": truth["qvel"]})


def test_what_has_no_state_says_so() -> None:
    env = make_env("Pendulum-v1")
    env.reset(seed=0)
    assert not has_pose(env)
    with pytest.raises(EnvError, match="Pendulum-v1 has no MuJoCo state"):
        pose_of(env)
    with pytest.raises(EnvError, match="Pendulum-v1 cannot be set"):
        set_pose(env, {})
    with pytest.raises(EnvError, match="no start of Pendulum-v1"):
        rebuilt_pose(env, np.zeros(3), {})


def test_a_pose_of_another_model_is_refused() -> None:
    env = make_env("HalfCheetah-v5")
    env.reset(seed=0)
    with pytest.raises(EnvError, match=r"qpos has shape \(30,\), expected \(9,\)"):
        set_pose(env, {"qpos": np.zeros(30), "qvel": np.zeros(9)})
