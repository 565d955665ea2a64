from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from awac_tr.collectors.episodes import rollout
from awac_tr.envs.episode import Episode, episode_seeds
from awac_tr.envs.make import make_env
from awac_tr.errors import EnvError
from awac_tr.policies.noise import OUController
from awac_tr.recipes.schema import EnvSection


class _Constant:
    def __init__(self, action: Any) -> None:
        self._action, self.seeds, self.seen = action, [], []

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def act(self, observation: np.ndarray) -> Any:
        self.seen.append((observation.copy(), torch.get_num_threads()))
        observation[:] = 77  # a controller may do what it likes with what it is given
        return self._action


def _lengths(episode: Episode) -> set[int]:
    arrays = [episode.observations, episode.actions, episode.rewards, episode.next_observations]
    return {len(array) for array in [*arrays, episode.terminals, episode.timeouts, *episode.infos.values()]}


def test_rows_are_transitions_and_the_last_is_cut(toy: str) -> None:
    controller = _Constant(np.float32([0.5, 5]))
    env = make_env(toy)
    episode = rollout(env, controller, 3)
    assert controller.seeds == [3]
    assert _lengths(episode) == {5}
    assert len(episode) == 5
    assert episode.observations[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert episode.next_observations[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert episode.rewards.tolist() == [1, 2, 3, 4, 5]
    assert episode.timeouts.tolist() == [False] * 4 + [True]
    assert not episode.terminals.any()
    assert "success" not in episode.infos
    assert {array.dtype for array in (episode.observations, episode.actions, episode.rewards)} == {np.dtype(np.float32)}


def test_recorded_actions_are_the_clipped_ones_that_were_executed(toy: str) -> None:
    env = make_env(toy)
    episode = rollout(env, _Constant(np.float32([0.5, 5])), 0)
    assert episode.actions.tolist() == [[0.5, 2.0]] * 5
    np.testing.assert_array_equal(env.unwrapped.executed, episode.actions)


@pytest.mark.parametrize("at", [1, 3, 5])
def test_termination_sets_terminals_only_even_at_the_horizon(toy: str, at: int) -> None:
    episode = rollout(make_env(EnvSection(id=toy, kwargs={"terminate_at": at})), _Constant(np.zeros(2)), 0)
    assert episode.terminals.tolist() == [False] * (at - 1) + [True]
    assert not episode.timeouts.any()
    assert _lengths(episode) == {at}


def test_an_environment_without_a_time_limit_is_refused(toy: str) -> None:
    with pytest.raises(EnvError, match="an episode might never end"):
        rollout(make_env(toy).unwrapped, _Constant(np.zeros(2)), 0)


def test_an_environment_made_by_gymnasium_alone_is_guarded_too() -> None:
    episode = rollout(gymnasium.make("HalfCheetah-v5", max_episode_steps=3), _Constant(np.zeros(6)), 0)
    assert episode.observations.dtype == np.float32


@pytest.mark.parametrize("action", [np.float32([np.nan, 0]), np.zeros(3), np.float32([np.inf, 0]), np.zeros((1, 2))])
def test_a_controller_that_gives_no_action_is_named_with_its_place(toy: str, action: np.ndarray) -> None:
    with pytest.raises(EnvError, match="toy-v0, episode seed 6, step 0: the controller gave"):
        rollout(make_env(toy), _Constant(action), 6)


def test_acting_uses_one_thread_and_gives_the_others_back(toy: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        controller = _Constant(np.zeros(2))
        rollout(make_env(toy), controller, 0)
        assert {threads for _, threads in controller.seen} == {1}
        with pytest.raises(EnvError):
            rollout(make_env(toy), _Constant(np.zeros(3)), 0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_recorded_states_lead_back_to_the_observations(task: str) -> None:
    env = make_env(EnvSection(id=f"{task}-binary-v0", horizon=30))
    size = env.action_space.shape[0]
    episode = rollout(env, OUController(-np.ones(size), np.ones(size)), 4, record_state=True)
    assert _lengths(episode) == {30}
    assert episode.infos["success"].dtype == np.bool_
    replay = make_env(f"{task}-binary-v0").unwrapped
    names = [name for name in episode.infos if name != "success"]
    assert {"qpos", "qvel"} < set(names)
    for t in (0, 7, 29):
        observation = replay.set_state({name: episode.infos[name][t] for name in names})
        # Positions are observed one simulator step (2 ms) late, which a pose alone does not tell.
        np.testing.assert_allclose(observation, episode.observations[t], atol=0.02 if t else 0)


def test_mujoco_environments_of_others_give_qpos_and_qvel(toy: str) -> None:
    episode = rollout(
        make_env(EnvSection(id="HalfCheetah-v5", horizon=4)), _Constant(np.zeros(6)), 0, record_state=True
    )
    assert episode.infos["qpos"].shape == (4, 9)
    np.testing.assert_allclose(episode.infos["qpos"][:, 1:], episode.observations[:, :8], atol=1e-6)
    with pytest.raises(EnvError, match="no MuJoCo state"):
        rollout(make_env(toy), _Constant(np.zeros(2)), 0, record_state=True)


def test_frames_come_after_the_reset_and_after_each_step(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env(toy)
    picture = np.zeros((4, 6, 3), np.uint8)
    monkeypatch.setattr(type(env.unwrapped), "render", lambda self: picture)
    frames: list[tuple[Any, ...]] = []
    rollout(env, _Constant(np.zeros(2)), 0, on_frame=lambda *frame: frames.append(frame))
    assert [frame[1] for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert np.isnan(frames[0][2])
    assert [frame[2:] for frame in frames[1:]] == [(float(t), None) for t in range(1, 6)]
    assert all(frame[0] is picture for frame in frames)


def test_seeds_are_reproducible_distinct_and_do_not_depend_on_their_number() -> None:
    seeds = episode_seeds(5, 2000)
    assert seeds[:10] == episode_seeds(5, 10)
    assert len(set(seeds)) == 2000
    assert not set(seeds) & set(episode_seeds(6, 2000))
    assert all(0 <= seed < 2**31 for seed in seeds)
