"""SawyerPush-v0: spaces, a step, chance, states, and the same everywhere it is run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest

from awac_tr.collectors.episodes import rollouts
from awac_tr.envs.episode import episode_seeds
from awac_tr.envs.gl import use_backend
from awac_tr.envs.make import make_env
from awac_tr.envs.sawyer.push import SawyerPushEnv
from awac_tr.envs.state import pose_of, set_pose
from awac_tr.errors import EnvError
from awac_tr.policies.noise import OUController
from awac_tr.recipes.schema import EnvSection

ONES = np.ones(2, np.float32)
OU = partial(OUController, -ONES, ONES)


@pytest.fixture
def env() -> Iterator[SawyerPushEnv]:
    made = SawyerPushEnv()
    made.reset(seed=0)
    yield made
    made.close()


def _play(env: Any, steps: int = 40, seed: int = 0) -> list[Any]:
    actions = np.random.default_rng(seed).uniform(-1.5, 1.5, (steps, 2)).astype(np.float32)
    return [env.step(action)[0] for action in actions]


def _equal(some: list[Any], others: list[Any]) -> None:
    for one, other in zip(some, others, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_what_is_seen(env: SawyerPushEnv) -> None:
    seen, info = env.reset(seed=5)
    assert seen.keys() == set(env.observation_space) == {"observation", "achieved_goal", "desired_goal"}  # type: ignore[call-overload]
    np.testing.assert_array_equal(seen["observation"], seen["achieved_goal"])
    np.testing.assert_allclose(seen["observation"][:2], env.data.body("hand").xpos[:2], atol=1e-7)
    np.testing.assert_allclose(seen["observation"][2:], env.data.body("puck").xpos[:2], atol=1e-7)
    np.testing.assert_allclose(seen["desired_goal"][2:], env.data.body("goal").xpos[:2], atol=1e-7)
    assert info == {"success": False}
    assert {value.dtype for value in seen.values()} == {np.dtype(np.float32)}
    before = {name: value.copy() for name, value in seen.items()}
    seen["desired_goal"][:] = seen["observation"][:] = 9  # what is handed out is the caller's
    env.step(np.zeros(2, np.float32))
    np.testing.assert_array_equal(env.step(np.zeros(2, np.float32))[0]["desired_goal"], before["desired_goal"])


def test_flat_it_is_observation_and_goal_with_the_papers_horizon() -> None:
    env = make_env("SawyerPush-v0")
    seen, info = env.reset(seed=0)
    assert (seen.shape, env.goal_size) == ((8,), 4)
    np.testing.assert_array_equal(info["achieved_goal"], seen[:4])
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(200)]
    assert ends == [(False, False)] * 199 + [(False, True)]


@pytest.mark.parametrize(("action", "moved"), [((1, 0), (2, 0)), ((0, -0.5), (0, -1)), ((7, -9), (2, -2))])
def test_an_action_moves_the_target_by_two_centimetres_and_the_hand_follows(
    env: SawyerPushEnv, action: tuple[float, float], moved: tuple[float, float]
) -> None:
    env._place(np.array([0.0, 0.6]), np.array([-0.15, 0.52]))
    start = env.get_pose()
    seen, *_ = env.step(np.array(action, np.float32))
    expected = np.array(moved) / 100
    np.testing.assert_allclose(env.get_pose()["hand_target"] - start["hand_target"], expected, atol=1e-12)
    np.testing.assert_allclose(seen["observation"][:2] - [0, 0.6], expected, atol=2.5e-3)
    assert env.data.time == pytest.approx(0.1)


def test_one_step_is_fifty_simulator_steps_of_two_milliseconds(env: SawyerPushEnv) -> None:
    assert (env.model.opt.timestep, env.frame_skip, env.metadata["render_fps"]) == (0.002, 50, 10)


def test_the_target_stays_in_its_box(env: SawyerPushEnv) -> None:
    for action, corner in (((1, 1), (0.2, 0.7)), ((-1, -1), (-0.2, 0.5))):
        for _ in range(25):
            env.step(np.array(action, np.float32))
        np.testing.assert_array_equal(env.get_pose()["hand_target"], corner)


def test_reward_success_and_compute_reward_agree(env: SawyerPushEnv) -> None:
    steps = [env.step(action) for action in np.random.default_rng(0).uniform(-1, 1, (300, 2)).astype(np.float32)]
    achieved, desired = (np.stack([step[0][name] for step in steps]) for name in ("achieved_goal", "desired_goal"))
    rewards = env.compute_reward(achieved, desired, {})
    np.testing.assert_array_equal(rewards, np.float32([step[1] for step in steps]))
    distances = np.linalg.norm(achieved[:, 2:] - desired[:, 2:], axis=1)
    np.testing.assert_allclose(rewards, -distances, atol=1e-7)
    assert all(step[4]["success"] is bool(near) for step, near in zip(steps, distances < 0.06, strict=True))


def test_success_is_a_puck_nearer_than_six_centimetres(env: SawyerPushEnv) -> None:
    pose = env.get_pose()
    for offset, success in ((0.0599, True), (0.0601, False)):
        goal = pose["goal"].copy()
        goal[2:] = env._observe()["observation"][2:]
        goal[2] += offset
        _, info = env.reset(options={"state": pose | {"goal": goal}})
        assert info["success"] is success
    wide = SawyerPushEnv(distance=0.07)
    assert wide.reset(options={"state": pose | {"goal": goal}})[1]["success"] is True


def test_resets_are_reproducible_and_draw_everything(env: SawyerPushEnv) -> None:
    firsts = [env.reset(seed=seed)[0] for seed in (3, 3, 4)]
    _equal(firsts[:1], firsts[1:2])
    assert all((firsts[0][name] != firsts[2][name]).all() for name in firsts[0])
    env.reset(seed=3)
    one = _play(env)
    _play(env, seed=9)  # nothing of an episode reaches into the next
    env.reset(seed=3)
    _equal(_play(env), one)
    other = SawyerPushEnv()
    other.reset(seed=3)
    _equal(_play(other), one)


def test_starts_fill_the_box_and_hand_and_puck_do_not_touch(env: SawyerPushEnv) -> None:
    starts = np.stack([env.reset()[0]["observation"] for _ in range(300)])
    np.testing.assert_allclose(starts.min(axis=0), [-0.2, 0.5, -0.191, 0.509], atol=0.01)
    np.testing.assert_allclose(starts.max(axis=0), [0.2, 0.7, 0.191, 0.691], atol=0.01)
    assert np.hypot(*(starts[:, :2] - starts[:, 2:]).T).min() > 0.0549


def test_sampled_goals_come_from_the_generator_given(env: SawyerPushEnv) -> None:
    first = env.sample_goals(5, np.random.default_rng(1))
    env.reset(seed=3)
    expected = env.reset()[0]["desired_goal"]
    np.testing.assert_array_equal(env.sample_goals(5, np.random.default_rng(1)), first)
    env.reset(seed=3)
    env.sample_goals(100, np.random.default_rng(2))
    np.testing.assert_array_equal(env.reset()[0]["desired_goal"], expected)


@pytest.mark.parametrize("entries", ["get_pose", "get_state"])
def test_a_start_is_replayed_from_its_pose_to_the_bit(env: SawyerPushEnv, entries: str) -> None:
    first, _ = env.reset(seed=3)
    state = getattr(env, entries)()
    states = _play(env)
    env.reset(seed=4)
    _equal([env.set_state(state)], [first])
    _equal(_play(env), states)


def test_the_middle_is_exact_with_the_whole_state_and_close_with_a_pose(env: SawyerPushEnv) -> None:
    _play(env, 120)
    state, pose = env.get_state(), env.get_pose()
    following = _play(env)
    env.reset(seed=4)
    env.set_state(state)
    _equal(_play(env), following)
    env.set_state(pose)
    np.testing.assert_allclose(_play(env, 1)[0]["observation"], following[0]["observation"], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"goal": np.zeros(3)}, "'goal' has shape"), ({"puck": np.zeros(2)}, "got .*'puck'")],
)
def test_states_that_do_not_fit_are_refused(env: SawyerPushEnv, change: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(EnvError, match=said):
        env.set_state(env.get_pose() | change)
    with pytest.raises(EnvError, match="are needed"):
        env.set_state({"qpos": env.get_pose()["qpos"]})


@pytest.mark.parametrize("name", ["qvel", "qpos", "mocap_pos"])
@pytest.mark.parametrize("steps", [0, 1])
def test_an_unstable_simulation_is_an_error(env: SawyerPushEnv, name: str, steps: int) -> None:
    _play(env, steps)
    getattr(env.data, name)[:] = np.nan
    action = np.full(2, np.nan if name == "mocap_pos" else 0, np.float32)
    with pytest.raises(EnvError, match="unstable"):
        env.step(action)
    assert np.isfinite(env.reset(seed=0)[0]["observation"]).all()


def test_only_table_rails_puck_and_the_tip_of_the_peg_touch_anything(env: SawyerPushEnv) -> None:
    touching = {env.model.geom(i).name for i in range(env.model.ngeom) if env.model.geom(i).contype[0]}
    rails = {f"rail {side}" for side in ("left", "right", "near", "far")}
    assert touching == {"table", "puck", "foot", "tip"} | rails
    env._show_goal(np.float32([0, 0, *env._observe()["observation"][2:]]))
    before = env._observe()["observation"]
    for _ in range(5):
        after = env.step(np.zeros(2, np.float32))[0]["observation"]
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_the_marker_of_the_goal_is_drawn_where_the_goal_is() -> None:
    if not use_backend().backend:
        pytest.skip("nothing here can draw")
    env = SawyerPushEnv(render_mode="rgb_array", width=160, height=120)
    env.reset(seed=0)
    pictures = []
    for x in (-0.15, 0.15):
        env.set_state(env.get_pose() | {"goal": np.array([0, 0.6, x, 0.6])})
        pictures.append(env.render().astype(int))
    env.close()
    assert pictures[0].shape == (120, 160, 3)
    green = [picture[..., 1] - picture[..., [0, 2]].max(axis=2) > 40 for picture in pictures]
    assert all(20 < marker.sum() < 1000 for marker in green)
    # the camera faces the arm: what is at the arm's left is at the picture's right
    left, right = (np.nonzero(marker)[1].mean() for marker in green)
    assert left - right > 30


def test_a_step_reports_no_goal_in_its_info(env: SawyerPushEnv) -> None:
    assert set(env.step(np.zeros(2, np.float32))[4]) == {"success"}


def test_episodes_are_the_same_in_other_processes_and_recorded_poses_replay() -> None:
    env = EnvSection(id="SawyerPush-v0", horizon=60)
    seeds = episode_seeds(0, 4)
    alone = list(rollouts(env, OU, seeds, record_state=True))
    together = list(rollouts(env, OU, seeds, workers=2, record_state=True))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.next_observations, other.next_observations)
        np.testing.assert_array_equal(one.rewards, other.rewards)
        assert one.infos.keys() == other.infos.keys() >= {"qpos", "qvel", "hand_target", "goal", "success"}
        for name in one.infos:
            np.testing.assert_array_equal(one.infos[name], other.infos[name], err_msg=name)
    made = make_env(env)
    made.reset(seed=99)
    for episode in alone:
        seen = set_pose(made, {name: rows[0] for name, rows in episode.infos.items()})
        np.testing.assert_array_equal(seen, episode.observations[0])
        for action, expected in zip(episode.actions, episode.next_observations, strict=True):
            np.testing.assert_array_equal(made.unwrapped.step(action)[0]["observation"], expected[:4])  # type: ignore[attr-defined]
    assert pose_of(made).keys() == {"qpos", "qvel", "hand_target", "goal"}


def test_a_plain_gymnasium_import_finds_it() -> None:
    code = "import gymnasium; print(gymnasium.make('awac_tr:SawyerPush-v0').reset(seed=0)[0]['observation'].shape)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(4,)\n", "")


def test_the_package_of_the_meshes_is_not_imported(env: SawyerPushEnv) -> None:
    assert "metaworld" not in sys.modules
    assert isinstance(env, gymnasium.Env)
