"""The packaged demonstrators: small, plain, of their task, and good at it."""

from __future__ import annotations

from functools import partial

import pytest

from awac_tr.envs.facts import env_facts
from awac_tr.envs.measures import measure
from awac_tr.envs.rollout import episode_seeds, rollouts
from awac_tr.errors import EnvError
from awac_tr.policies.checkpoint import load_policy
from awac_tr.policies.controllers import load_controller
from awac_tr.policies.demonstrators import DEMONSTRATORS, demonstrator_path


@pytest.mark.parametrize("env_id", DEMONSTRATORS)
def test_a_demonstrator_is_small_and_says_what_it_is(env_id: str) -> None:
    path, facts = demonstrator_path(env_id), env_facts(env_id)
    policy = load_policy(path)
    policy.require(facts.id, facts.observation_size, facts.action_size)
    assert path.stat().st_size < 50_000
    assert policy.kind == "policy"
    assert [parent["name"] for parent in policy.info["parents"]] == [f"{env_id.removesuffix('-binary-v0')}-expert"]


@pytest.mark.parametrize(
    ("env_id", "at_least"), [("pen-binary-v0", 6), ("door-binary-v0", 9), ("relocate-binary-v0", 9)]
)
def test_a_demonstrator_succeeds(env_id: str, at_least: int) -> None:
    # 100 episodes are in docs/demonstrators.md; ten are enough to notice a policy that does not belong to this physics
    episodes = rollouts(env_id, partial(load_controller, demonstrator_path(env_id)), episode_seeds(0, 10))
    assert measure(episodes, None)["success_any"].sum() >= at_least


def test_an_environment_without_a_demonstrator_is_told_what_to_do() -> None:
    assert demonstrator_path("awac_tr:pen-binary-v0") == demonstrator_path("pen-binary-v0")
    with pytest.raises(EnvError, match="no demonstrator is packaged for Ant-v5") as caught:
        demonstrator_path("Ant-v5")
    assert "--policy FILE" in caught.value.hint
