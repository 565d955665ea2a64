"""Spaces and ends of environments, against the environments themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from awac_tr.envs import ENV_IDS
from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection


@pytest.mark.parametrize("env_id", [*ENV_IDS, "Pendulum-v1", "Ant-v5"])
def test_spaces_are_those_of_the_environment(env_id: str) -> None:
    rules, env = env_info(env_id), make_env(env_id)
    states: Any = env.observation_space
    actions: Any = env.action_space
    assert rules.observation_bounds is not None
    assert rules.action_bounds is not None
    for bounds, space in ((rules.observation_bounds, states), (rules.action_bounds, actions)):
        np.testing.assert_array_equal(np.asarray(bounds[0], np.float32), space.low.astype(np.float32))
        np.testing.assert_array_equal(np.asarray(bounds[1], np.float32), space.high.astype(np.float32))
    env.close()


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("Hopper-v5", {}),
        ("Hopper-v5", {"healthy_z_range": (1.1, 1.5)}),
        ("Walker2d-v5", {}),
        ("Ant-v5", {}),
        ("Humanoid-v5", {}),
        ("InvertedPendulum-v5", {}),
    ],
)
def test_the_rule_says_what_the_environment_does(env_id: str, kwargs: dict[str, Any]) -> None:
    rule = env_info(EnvSection(id=env_id, kwargs=kwargs)).termination
    assert rule is not None
    env = make_env(EnvSection(id=env_id, kwargs=kwargs))
    states, terminated, rng = [], [], np.random.default_rng(0)
    low, high = np.asarray(env_info(env_id).action_bounds)
    for seed in range(15):
        env.reset(seed=seed)
        for _ in range(80):
            state, _, over, _, _ = env.step(rng.uniform(low, high).astype(np.float32))
            states.append(state)
            terminated.append(over)
            if over:
                break
    env.close()
    ended, going = rule(np.stack(states))
    truth = np.array(terminated)
    assert truth.sum() > 5
    assert not (ended & ~truth).any()
    assert not (going & truth).any()
    # Near a limit nothing is said; nearly everywhere something is.
    assert (ended | going).mean() > 0.9


@pytest.mark.parametrize(
    ("env_id", "kwargs", "terminates"),
    [
        ("HalfCheetah-v5", {}, False),
        ("door-binary-v0", {}, False),
        ("Hopper-v5", {"terminate_when_unhealthy": False}, False),
        ("Hopper-v5", {"exclude_current_positions_from_observation": False}, True),
        ("MountainCarContinuous-v0", {}, None),
    ],
)
def test_environments_without_a_rule(env_id: str, kwargs: dict[str, Any], terminates: bool | None) -> None:
    rules = env_info(EnvSection(id=env_id, kwargs=kwargs))
    assert (rules.terminates, rules.termination) == (terminates, None)


def test_an_unknown_environment() -> None:
    with pytest.raises(EnvError, match="Hoper"):
        env_info("Hoper-v5")
