"""The packaged demonstrators: small, plain, of their task, and good at it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from awac_tr.collect.plan import default_name
from awac_tr.collectors.episodes import rollouts
from awac_tr.envs.env_info import env_info
from awac_tr.envs.episode import episode_seeds
from awac_tr.envs.measures import measure
from awac_tr.errors import EnvError
from awac_tr.policies.checkpoint import load_policy
from awac_tr.policies.controllers import load_controller
from awac_tr.policies.demonstrators import DEMONSTRATORS, demonstrator_path
from awac_tr.recipes.cards import load_card


@pytest.mark.parametrize("env_id", DEMONSTRATORS)
def test_a_demonstrator_is_small_and_says_what_it_is(env_id: str) -> None:
    path = demonstrator_path(env_id)
    policy = load_policy(path)
    facts = env_info(policy.env)
    policy.require(env_id, facts.observation_size, facts.action_size)
    assert path.stat().st_size < 300_000
    assert policy.kind == "policy"
    assert [parent["name"] for parent in policy.info["parents"]] == [f"{path.stem}-expert"]


@pytest.mark.parametrize("env_id", DEMONSTRATORS)
def test_a_demonstrator_acts_in_the_environment_that_demos_are_collected_in(env_id: str) -> None:
    card = load_card(default_name(env_id, "demos"))
    env = load_policy(demonstrator_path(env_id)).env
    assert (env.id, env.kwargs) == (card.env, card.env_kwargs)


@pytest.mark.parametrize(
    ("env_id", "at_least"), [("pen-binary-v0", 6), ("door-binary-v0", 9), ("relocate-binary-v0", 9)]
)
def test_a_demonstrator_succeeds(env_id: str, at_least: int) -> None:
    # 100 episodes are in docs/demonstrators.md; ten are enough to notice a policy that does not belong to this physics
    episodes = rollouts(env_id, partial(load_controller, demonstrator_path(env_id)), episode_seeds(0, 10))
    assert measure(episodes, None)["success_any"].sum() >= at_least


@pytest.mark.parametrize(("env_id", "expert"), [("HalfCheetah-v5", 11_900), ("Walker2d-v5", 4400), ("Ant-v5", 5000)])
def test_a_demonstrator_of_locomotion_has_most_of_its_experts_return(env_id: str, expert: float) -> None:
    # 100 episodes are in docs/demonstrators.md; the median of three is not moved by a fall
    path = demonstrator_path(env_id)
    episodes = rollouts(load_policy(path).env, partial(load_controller, path), episode_seeds(0, 3))
    assert np.median(measure(episodes, None)["return"]) > 0.8 * expert


def test_an_environment_without_a_demonstrator_is_told_what_to_do() -> None:
    assert demonstrator_path("awac_tr:pen-binary-v0") == demonstrator_path("pen-binary-v0")
    with pytest.raises(EnvError, match="no demonstrator is packaged for Hopper-v5") as caught:
        demonstrator_path("Hopper-v5")
    assert "--policy FILE" in caught.value.hint
