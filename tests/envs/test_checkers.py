"""What Gymnasium, Stable-Baselines3 and TorchRL check of an environment, and Gymnasium's vectors of environments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation
from stable_baselines3.common.env_checker import check_env as check_for_sb3
from torchrl.envs import GymEnv, check_env_specs

from awac_tr.envs import ENV_IDS
from awac_tr.envs.gl import use_backend
from awac_tr.envs.make import make_env
from awac_tr.envs.sawyer.push import SawyerPushEnv

ALL = (*ENV_IDS, "HalfCheetah-v5", "Walker2d-v5", "Ant-v5")


# observations of the hands have no bounds, like those of most of Gymnasium's own MuJoCo environments
@pytest.mark.filterwarnings("ignore:.*A Box observation space m.*imum value is:UserWarning")
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version:UserWarning")
@pytest.mark.parametrize("env_id", ALL)
def test_gymnasiums_checker_also_of_wrapped_ones(env_id: str) -> None:
    check_env(make_env(env_id), skip_render_check=True)
    if env_id in ENV_IDS:
        check_env(gymnasium.make(env_id).unwrapped, skip_render_check=not use_backend().backend)


@pytest.mark.parametrize("env_id", ALL)
def test_stable_baselines3s_checker(env_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env(env_id)
    check_for_sb3(env.unwrapped)
    # It takes whatever has compute_reward behind its wrappers for an environment of dictionaries, see below.
    monkeypatch.delattr(SawyerPushEnv, "compute_reward")
    check_for_sb3(env)


@pytest.mark.filterwarnings("ignore:.*gymnasium_robotics:DeprecationWarning")
@pytest.mark.parametrize("env_id", ["gymnasium_robotics:FetchReach-v4", "SawyerPush-v0"])
def test_stable_baselines3_refuses_any_goal_environment_that_was_flattened(env_id: str) -> None:
    with pytest.raises(AssertionError, match=r"require the observation space to be gymnasium\.spaces\.Dict"):
        check_for_sb3(FlattenObservation(gymnasium.make(env_id)))


@pytest.mark.parametrize("env_id", ALL)
def test_torchrls_checker_without_ours(env_id: str) -> None:
    check_env_specs(GymEnv(env_id), seed=0)


@pytest.mark.parametrize(
    ("make", "env_id"), [*((make_env, env_id) for env_id in ENV_IDS), (gymnasium.make, ENV_IDS[-1])]
)
def test_vectors_of_environments_step_alike(make: Callable[[str], Any], env_id: str) -> None:
    together, apart = (kind([partial(make, f"awac_tr:{env_id}")] * 2) for kind in (SyncVectorEnv, AsyncVectorEnv))
    assert data_equivalence(together.reset(seed=3), apart.reset(seed=3), exact=True)
    for _ in range(5):
        actions = together.action_space.sample()
        assert data_equivalence(together.step(actions), apart.step(actions), exact=True)
    together.close()
    apart.close()
