from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from awac_tr.envs.make import horizon_of, make_env
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection


@pytest.mark.parametrize(
    ("env_id", "said"),
    [
        ("dor-binary-v0", "Did you mean door-binary-v0"),
        ("door-binary-v7", "door-binary-v0"),
        ("nothing like it", "Ours are pen-binary-v0"),
        ("no_such_package:door-binary-v0", "No module named 'no_such_package'"),
        ("a:b:c", "unknown environment 'a:b:c'"),
        ("", "unknown environment ''"),
    ],
)
def test_unknown_ids(env_id: str, said: str) -> None:
    with pytest.raises(EnvError, match=said):
        make_env(env_id)


@pytest.mark.parametrize(
    ("env_id", "options", "said"),
    [
        ("CartPole-v1", {}, "the actions of CartPole-v1 are discrete"),
        ("Blackjack-v1", {}, "the actions of Blackjack-v1 are discrete"),
        ("door-binary-v0", {"kwargs": {"hinges": 2}}, "cannot be made with {'hinges': 2}.*TypeError"),
        ("door-binary-v0", {"kwargs": {"hinge": "wide"}}, "cannot be made with {'hinge': 'wide'}"),
    ],
)
def test_what_cannot_be_used_is_refused(env_id: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(EnvError, match=said):
        make_env(EnvSection(id=env_id, **options))


def test_without_any_horizon_is_refused(toy: str) -> None:
    import gymnasium

    gymnasium.registry[toy].max_episode_steps = None
    with pytest.raises(EnvError, match="no horizon"):
        make_env(toy)
    assert horizon_of(make_env(EnvSection(id=toy, horizon=3))) == 3


def test_a_horizon_of_ones_own_cuts_there() -> None:
    env = make_env(EnvSection(id="door-binary-v0", horizon=3))
    env.reset(seed=0)
    assert [env.step(np.zeros(28, np.float32))[3] for _ in range(3)] == [False, False, True]


def test_an_environment_of_others_gives_float32() -> None:
    env = make_env("HalfCheetah-v5")
    assert env.observation_space.dtype == np.float32
    assert env.reset(seed=0)[0].dtype == np.float32
    observation, *_ = env.step(np.zeros(6, np.float32))
    assert observation.dtype == np.float32
