from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from awac_tr.envs.adroit import DoorBinaryEnv, PenBinaryEnv, RelocateBinaryEnv
from awac_tr.envs.make import make_env
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

CLASSES = {"pen": PenBinaryEnv, "door": DoorBinaryEnv, "relocate": RelocateBinaryEnv}
SIZES = {"pen": (45, 24), "door": (39, 28), "relocate": (39, 30)}


def _actions(size: int, steps: int, seed: int = 0) -> np.ndarray:
    """Smooth noise: it moves pen, hand and ball more than independent draws do."""
    steps_of = np.random.default_rng(seed).normal(0, 0.3, (steps, size))
    return np.clip(np.cumsum(steps_of, axis=0), -1, 1).astype(np.float32)


def test_sizes_bounds_and_types(task: str, env: gymnasium.Env[Any, Any]) -> None:
    observation_size, action_size = SIZES[task]
    observation, info = env.reset(seed=0)
    assert observation.shape == (observation_size,)
    assert observation.dtype == np.float32
    assert info["success"] is False
    assert (env.action_space.low == -1).all()
    assert (env.action_space.high == 1).all()
    observation, reward, terminated, truncated, info = env.step(np.zeros(action_size, np.float32))
    assert observation.dtype == np.float32
    assert (reward, terminated, truncated, info) == (-1.0, False, False, {"success": False})


def test_truncated_at_200_steps_and_never_terminated(env: gymnasium.Env[Any, Any]) -> None:
    env.reset(seed=0)
    ends = [env.step(action)[2:4] for action in _actions(env.action_space.shape[0], 200)]
    assert ends == [(False, False)] * 199 + [(False, True)]


def test_a_step_is_five_simulator_steps_of_two_milliseconds(env: gymnasium.Env[Any, Any]) -> None:
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape, np.float32))
    assert env.unwrapped.data.time == pytest.approx(0.01)


def test_seeded_resets_reproduce_and_seeds_differ(env: gymnasium.Env[Any, Any]) -> None:
    first, again, other = (env.reset(seed=seed)[0] for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()
    env.reset(seed=3)
    followers = [env.reset()[0] for _ in range(2)]
    assert (followers[0] != followers[1]).any()


def test_an_episode_does_not_depend_on_what_was_played_before(task: str, env: gymnasium.Env[Any, Any]) -> None:
    actions = _actions(SIZES[task][1], 40)

    def play() -> list[np.ndarray]:
        return [env.reset(seed=7)[0], *(env.step(action)[0] for action in actions)]

    fresh = play()
    env.reset(seed=8)
    for action in -actions:
        env.step(action)
    np.testing.assert_array_equal(fresh, play())


def test_actions_outside_the_bounds_act_like_the_bounds(task: str, env: gymnasium.Env[Any, Any]) -> None:
    wild = 3 * _actions(SIZES[task][1], 5)

    def play(actions: np.ndarray) -> list[np.ndarray]:
        env.reset(seed=0)
        return [env.step(action)[0] for action in actions]

    np.testing.assert_array_equal(play(wild), play(np.clip(wild, -1, 1)))


def test_observations_are_those_of_gymnasium_robotics(task: str, env: gymnasium.Env[Any, Any]) -> None:
    from gymnasium_robotics.envs import adroit_hand

    theirs = getattr(adroit_hand, f"AdroitHand{task.capitalize()}Env")()
    ours = [env.reset(seed=11)[0]]
    expected = [theirs.reset(seed=11)[0]]
    for action in _actions(SIZES[task][1], 30):
        ours.append(env.step(action)[0])
        expected.append(theirs.step(action)[0])
    np.testing.assert_array_equal(ours, np.array(expected, np.float32))


@pytest.mark.parametrize("at", [0, 60])
def test_going_on_from_a_state_is_exact(task: str, at: int) -> None:
    base, other = CLASSES[task](), CLASSES[task]()
    actions = _actions(SIZES[task][1], at + 60, seed=2)
    here, _ = base.reset(seed=1)
    for action in actions[:at]:
        here, *_ = base.step(action)
    state = base.get_state()

    expected = [base.step(action)[:2] for action in actions[at:]]
    # Another instance that was never reset, and then the same one amid another episode.
    assert (other.set_state(state) == here).all()
    _assert_same_steps([other.step(action)[:2] for action in actions[at:]], expected)
    other.reset(seed=5)
    other.step(actions[0])
    other.set_state(state)
    _assert_same_steps([other.step(action)[:2] for action in actions[at:]], expected)


def _assert_same_steps(steps: list[Any], expected: list[Any]) -> None:
    np.testing.assert_array_equal([row for row, _ in steps], [row for row, _ in expected])
    assert [reward for _, reward in steps] == [reward for _, reward in expected]


def test_a_state_is_a_copy_and_holds_what_the_reset_drew(task: str) -> None:
    env = CLASSES[task]()
    env.reset(seed=0)
    state = env.get_state()
    kept = {name: value.copy() for name, value in state.items()}
    env.reset(seed=1)
    env.step(np.zeros(SIZES[task][1], np.float32))
    for name, value in state.items():
        np.testing.assert_array_equal(value, kept[name])
    drawn = {"pen": {"target_quat"}, "door": {"door_pos"}, "relocate": {"ball_pos", "target_pos"}}[task]
    assert set(env.get_pose()) == {"qpos", "qvel"} | drawn
    assert all((env.get_pose()[name] != state[name]).any() for name in drawn)


def test_an_episode_can_start_from_a_state() -> None:
    env = make_env("door-binary-v0")
    env.reset(seed=0)
    for action in _actions(28, 20):
        observation, *_ = env.step(action)
    state = env.unwrapped.get_state()
    started, info = env.reset(seed=9, options={"state": state})
    assert (started == observation).all()
    assert info == {"success": False}


@pytest.mark.parametrize(
    ("change", "said"),
    [({"qpos": None}, "are needed"), ({"qpos": np.zeros(7)}, "shape"), ({"speed": np.zeros(1)}, "are needed")],
)
def test_a_state_that_does_not_fit_is_refused(change: dict[str, Any], said: str) -> None:
    env = DoorBinaryEnv()
    env.reset(seed=0)
    before = env.get_state()
    state = {name: value for name, value in (before | change).items() if value is not None}
    with pytest.raises(EnvError, match=said):
        env.set_state(state)
    after = env.get_state()
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize(("angle", "reward"), [(1.39, -1.0), (1.41, 0.0)])
def test_door_reward_turns_at_the_papers_angle(angle: float, reward: float) -> None:
    env = DoorBinaryEnv()
    env.reset(seed=0)
    pose = env.get_pose()
    pose["qpos"][28] = angle
    env.set_state(pose)
    assert env._goal() is (reward == 0.0)
    # The hinge is at rest and has friction, so one step does not carry it over the threshold.
    _, got, _, _, info = env.step(np.zeros(28, np.float32))
    assert (got, info["success"]) == (reward, reward == 0.0)


def test_thresholds_can_be_those_of_others() -> None:
    env = make_env(EnvSection(id="door-binary-v0", kwargs={"hinge": 1.35}))
    env.reset(seed=0)
    pose = env.unwrapped.get_pose()
    pose["qpos"][28] = 1.38
    env.unwrapped.set_state(pose)
    assert env.step(np.zeros(28, np.float32))[1] == 0.0


@pytest.mark.parametrize(("away", "goal"), [(0.099, True), (0.101, False)])
def test_relocate_goal_turns_at_ten_centimetres(away: float, goal: bool) -> None:
    env = RelocateBinaryEnv()
    env.reset(seed=0)
    env.set_state(env.get_pose())
    ball = env.data.xpos[env._hand.obj_body_id]
    pose = env.get_pose()
    pose["target_pos"] = ball + away * np.array([0.6, 0.0, 0.8])
    env.set_state(pose)
    assert env._goal() is goal


@pytest.mark.parametrize(("cosine", "goal"), [(0.951, True), (0.949, False)])
def test_pen_goal_turns_at_the_similarity(cosine: float, goal: bool) -> None:
    env = PenBinaryEnv()
    env.reset(seed=0)
    # The pen lies along x (to 8e-4 rad), the target along z; turned about y, the sine of the angle is their cosine.
    half = np.arcsin(cosine) / 2
    pose = env.get_pose() | {"target_quat": np.array([np.cos(half), 0.0, np.sin(half), 0.0])}
    observation = env.set_state(pose)
    assert observation[33:36] @ observation[36:39] == pytest.approx(cosine, abs=3e-4)
    assert np.linalg.norm(observation[39:42]) < 0.07
    assert env._goal() is goal


def test_a_simulation_that_explodes_is_an_error_not_a_silent_restart(env: gymnasium.Env[Any, Any]) -> None:
    env.reset(seed=5)
    env.step(np.zeros(env.action_space.shape, np.float32))
    env.unwrapped.data.qvel[:] = 1e12
    with pytest.raises(EnvError, match="binary-v0, episode seed 5, step 1: the simulation became unstable"):
        env.step(np.zeros(env.action_space.shape, np.float32))
