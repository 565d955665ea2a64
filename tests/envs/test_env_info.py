from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest

from awac_tr.envs import ENV_IDS
from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_facts_of_ours_are_those_of_the_environment(env_id: str) -> None:
    facts, env = env_info(env_id), make_env(env_id)
    assert (facts.observation_size,) == env.observation_space.shape
    assert (facts.action_size,) == env.action_space.shape
    assert facts.horizon == 200
    assert facts.reward_range == ((-1, 0) if "binary" in env_id else pytest.approx((-(0.2**0.5), 0)))
    assert facts.goal_steps == {"pen-binary-v0": 20, "SawyerPush-v0": None}.get(env_id, 25)
    assert (facts.goal.size if facts.goal else 0) == env.goal_size


def test_module_prefix_is_dropped_from_the_id() -> None:
    assert env_info("awac_tr:pen-binary-v0").id == "pen-binary-v0"


def test_keyword_arguments_move_the_reward_rule() -> None:
    row = np.zeros((1, 39), np.float32)
    row[0, 28] = 1.38
    paper, authors = env_info("door-binary-v0"), env_info(EnvSection(id="door-binary-v0", kwargs={"hinge": 1.35}))
    assert paper.reward_rule is not None
    assert authors.reward_rule is not None
    assert (paper.reward_rule(row)[0], authors.reward_rule(row)[0]) == (-1, 0)


@pytest.mark.parametrize("value", ["wide", None, [1.4]])
def test_thresholds_that_are_no_numbers_are_refused(value: object) -> None:
    with pytest.raises(EnvError, match="door-binary-v0 cannot be made with"):
        env_info(EnvSection(id="door-binary-v0", kwargs={"hinge": value}))


def test_facts_of_an_environment_of_others() -> None:
    facts = env_info("HalfCheetah-v5")
    assert (facts.observation_size, facts.action_size, facts.horizon) == (17, 6, 1000)
    assert facts.reward_range == (-math.inf, math.inf)
    assert facts.goal_steps is None
    assert facts.reward_rule is None


def test_facts_respect_arguments_that_change_sizes() -> None:
    kwargs = {"exclude_current_positions_from_observation": False}
    assert env_info(EnvSection(id="HalfCheetah-v5", kwargs=kwargs)).observation_size == 18


def test_unknown_id_comes_back_with_the_closest() -> None:
    with pytest.raises(EnvError, match="Did you mean door-binary-v0") as caught:
        env_info("door-binry-v0")
    assert "'door-binry-v0'" in caught.value.message


def test_an_environment_of_others_is_made_once_for_its_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = gymnasium.make

    def counted(env_id: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        made.append(env_id)
        return make(env_id, **kwargs)

    monkeypatch.setattr("gymnasium.make", counted)
    gymnasium.register("OnceOnly-v0", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=7)
    try:
        facts = env_info("OnceOnly-v0")
        assert env_info(EnvSection(id="OnceOnly-v0")) is facts
        assert made == ["OnceOnly-v0"]
        assert env_info(EnvSection(id="OnceOnly-v0", horizon=3)).horizon == 3
        gymnasium.registry.pop("OnceOnly-v0")
        gymnasium.register("OnceOnly-v0", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=9)
        assert env_info("OnceOnly-v0").horizon == 9
    finally:
        gymnasium.registry.pop("OnceOnly-v0")
