from __future__ import annotations

import numpy as np
import pytest
import torch
from tensordict.nn import TensorDictModule
from torchrl.collectors import Collector
from torchrl.envs import EnvBase, check_env_specs
from torchrl.envs.utils import RandomPolicy

from awac_tr.collectors.episodes import rollout
from awac_tr.envs.make import make_env, make_torchrl_env
from awac_tr.keys import DISK_TO_MEMORY, DONE, REWARD, TERMINATED, TRUNCATED
from awac_tr.policies.noise import OUController
from awac_tr.recipes.schema import EnvSection

HORIZON = 12


@pytest.fixture
def wrapped(task: str) -> EnvBase:
    return make_torchrl_env(EnvSection(id=f"{task}-binary-v0", horizon=HORIZON))


def test_specs_hold(wrapped: EnvBase) -> None:
    check_env_specs(wrapped, seed=0)


def test_specs_of_an_environment_of_others_hold() -> None:
    env = make_torchrl_env(EnvSection(id="HalfCheetah-v5", horizon=HORIZON))
    check_env_specs(env, seed=0)
    assert "success" not in env.observation_spec


def test_keys_shapes_and_types(wrapped: EnvBase) -> None:
    data = wrapped.rollout(HORIZON)
    for name, key in DISK_TO_MEMORY.items():
        expected = torch.bool if name in ("terminals", "timeouts") else torch.float32
        assert data[key].dtype == expected, name
        assert data[key].shape[:-1] == (HORIZON,)
    for key in (REWARD, TERMINATED, TRUNCATED, DONE, ("next", "success")):
        assert data[key].shape == (HORIZON, 1), key


def test_steps_are_those_of_our_own_rollout(task: str, wrapped: EnvBase) -> None:
    plain = make_env(EnvSection(id=f"{task}-binary-v0", horizon=HORIZON))
    size = plain.action_space.shape[0]
    episode = rollout(plain, OUController(-np.ones(size), np.ones(size)), 17)
    actions = iter(torch.from_numpy(episode.actions))
    replay = TensorDictModule(lambda _: next(actions), in_keys=["observation"], out_keys=["action"])
    data = wrapped.rollout(HORIZON, policy=replay, auto_reset=False, tensordict=wrapped.reset(seed=17))
    for name, key in DISK_TO_MEMORY.items():
        expected = getattr(episode, name)
        np.testing.assert_array_equal(data[key].numpy().reshape(expected.shape), expected, err_msg=name)
    np.testing.assert_array_equal(data["next", "success"].numpy()[:, 0], episode.infos["success"])


def test_a_collector_cuts_at_the_horizon_and_keeps_the_true_last_observation(wrapped: EnvBase) -> None:
    wrapped.set_seed(0)
    steps = 3 * HORIZON
    collector = Collector(wrapped, RandomPolicy(wrapped.action_spec), frames_per_batch=steps, total_frames=steps)
    data = next(iter(collector)).reshape(-1)
    collector.shutdown()
    assert not data["next", "terminated"].any()
    cut = data["next", "truncated"][:, 0]
    assert cut.nonzero()[:, 0].tolist() == [HORIZON - 1, 2 * HORIZON - 1, 3 * HORIZON - 1]
    assert (data["next", "done"] == data["next", "truncated"]).all()
    # Within an episode a next observation is the one acted on next; at its end it is not the following one's start.
    following = (data["next", "observation"][:-1] == data["observation"][1:]).all(-1)
    assert (following == ~cut[:-1]).all()
    moved = (data["next", "observation"] - data["observation"]).abs().max(-1).values
    assert moved[cut].max() < 2 * moved[~cut].max()


def test_an_environment_of_others_that_tells_of_success_is_found_out() -> None:
    env = make_torchrl_env(EnvSection(id="gymnasium_robotics:AdroitHandHammer-v1", horizon=4))
    data = env.rollout(4)
    assert data["next", "success"].dtype == torch.bool
    assert data["next", "success"].shape == (4, 1)


def test_goals_are_keys_of_their_own() -> None:
    section = EnvSection(id="gymnasium_robotics:FetchReach-v4", horizon=HORIZON, rescale_actions=True)
    env = make_torchrl_env(section)
    check_env_specs(env, seed=0)
    data = env.rollout(HORIZON)
    assert data["achieved_goal"].shape == (HORIZON, 3)
    assert (data["next", "achieved_goal"][:-1] == data["achieved_goal"][1:]).all()
    assert (data["observation"][:, -3:] == data["observation"][0, -3:]).all()  # what is desired stays
    # FetchReach's reward is minus 1 beyond five centimetres of the goal, and 0 within
    far = (data["next", "achieved_goal"] - data["next", "observation"][:, -3:]).norm(dim=-1) > 0.05
    assert (data["next", "reward"][:, 0] == -far.float()).all()
