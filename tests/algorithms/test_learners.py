"""Learners: what they are made of, that an update does what it says, and that their state is all of it."""

from __future__ import annotations

import math

import pytest
import torch
from tensordict import TensorDict
from torchrl.envs.utils import ExplorationType, set_exploration_type

from awac_tr.algorithms.awac import AWACLearner, value_bounds
from awac_tr.algorithms.base import Learner, Statistics
from awac_tr.algorithms.bc import BCLearner
from awac_tr.algorithms.registry import build_learner
from awac_tr.envs.facts import EnvFacts
from awac_tr.errors import CheckpointError, RecipeError
from awac_tr.policies.build import build_policy, build_qvalues
from awac_tr.recipes.loader import recipe_from_dict
from awac_tr.recipes.schema import AWACSection, PolicySection, QValueSection, Recipe

FACTS = EnvFacts("toy", 10, (-1.0, 0.0), None, None, 3, 2)
STATISTICS = Statistics(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 2.0]))


def recipe(**sections: object) -> Recipe:
    base: dict[str, object] = {
        "name": "toy",
        "env": {"id": "toy"},
        "data": {"datasets": ["toy"]},
        "policy": {"hidden_sizes": [8]},
        "qvalue": {"hidden_sizes": [8]},
    }
    return recipe_from_dict({**base, **sections})


def learner(**sections: object) -> Learner:
    torch.manual_seed(0)
    return build_learner(recipe(**sections), FACTS, STATISTICS)


def batch(size: int = 16) -> TensorDict:
    generator = torch.Generator().manual_seed(1)
    end = torch.rand(size, 1, generator=generator) > 0.7
    return TensorDict(
        {
            "observation": torch.randn(size, 3, generator=generator),
            "action": torch.rand(size, 2, generator=generator) * 2 - 1,
            "next": {
                "observation": torch.randn(size, 3, generator=generator),
                "reward": -torch.ones(size, 1),
                "terminated": end,
                "truncated": ~end,
                "done": torch.ones(size, 1, dtype=torch.bool),
            },
        },
        batch_size=[size],
    )


def action(made: Learner) -> torch.Tensor:
    with set_exploration_type(ExplorationType.DETERMINISTIC), torch.no_grad():
        chosen: torch.Tensor = made.policy(TensorDict({"observation": torch.ones(1, 3)}, [1]))["action"]
    return chosen


def test_bounds_of_values() -> None:
    assert value_bounds((-1.0, 0.0), 0.9) == pytest.approx((-10.0, 0.0))
    # an episode may be a single step: the sum of rewards of at least 1 is at least 1, not 10
    assert value_bounds((1.0, 2.0), 0.9) == pytest.approx((1.0, 20.0))
    assert value_bounds((-math.inf, 1.0), 0.9) == (None, pytest.approx(10.0))
    assert value_bounds((-1.0, 0.0), 1.0) == (None, 0.0)


def test_reward_range_reaches_the_loss() -> None:
    made = learner(awac={"value_bounds": "reward_range", "gamma": 0.5})
    assert isinstance(made, AWACLearner)
    assert made.loss.value_bounds == pytest.approx((-2.0, 0.0))


def test_unbounded_rewards_are_refused() -> None:
    facts = EnvFacts("toy", 10, (-math.inf, math.inf), None, None, 3, 2)
    with pytest.raises(RecipeError, match="value_bounds"):
        build_learner(recipe(awac={"value_bounds": "reward_range"}), facts, None)


@pytest.mark.parametrize("algorithm", ["awac", "bc"])
def test_update_moves_the_policy_that_acts(algorithm: str) -> None:
    made = learner(algorithm=algorithm)
    before = action(made)
    out = made.update(batch())
    assert not torch.equal(before, action(made))
    assert not any(value.requires_grad or value.dim() for value in out.values())
    assert "loss_actor" in out


def test_update_leaves_the_batch_alone() -> None:
    given = batch()
    copy = given.clone()
    learner(awac={"ignore_terminals": True}).update(given)
    assert set(given.keys(True, True)) == set(copy.keys(True, True))
    assert (given == copy).all()


def test_statistics_stand_in_every_network() -> None:
    made = learner()
    assert isinstance(made, AWACLearner)
    found = [
        value for name, value in made.loss.state_dict().items() if name.endswith("loc") and value.shape[-1:] == (3,)
    ]
    assert len(found) >= 3  # actor, critics, target critics
    assert all(torch.equal(value.reshape(-1, 3)[0], STATISTICS.mean) for value in found)


def test_targets_follow_by_tau() -> None:
    made = learner(awac={"tau": 0.25})
    assert isinstance(made, AWACLearner)
    target, source = made.loss.target_qvalue_network_params, made.loss.qvalue_network_params
    before = target.clone()
    made.update(batch())
    moved = 0
    for key, value in source.items(True, True):
        if value.requires_grad:
            expected = 0.75 * before[key] + 0.25 * value
            torch.testing.assert_close(target[key].data, expected.data)
            moved += not torch.equal(target[key].data, before[key].data)
    assert moved >= 4


def test_weight_decay_is_the_policys_alone() -> None:
    made = learner(awac={"policy_weight_decay": 0.5, "policy_lr": 1e-3, "qvalue_lr": 1e-2})
    assert isinstance(made, AWACLearner)
    policy, qvalue = made.optimizer.param_groups
    assert (policy["weight_decay"], policy["lr"]) == (0.5, 1e-3)
    assert (qvalue["weight_decay"], qvalue["lr"]) == (0.0, 1e-2)
    assert {id(parameter) for parameter in policy["params"]} == {
        id(parameter) for parameter in made.policy.parameters()
    }


@pytest.mark.parametrize("algorithm", ["awac", "bc"])
def test_state_is_everything(algorithm: str) -> None:
    first = learner(algorithm=algorithm)
    for _ in range(3):
        first.update(batch())
    torch.manual_seed(7)
    second = build_learner(recipe(algorithm=algorithm), FACTS, None)
    second.load_state_dict(first.state_dict())
    assert torch.equal(action(first), action(second))
    torch.manual_seed(3)
    after_first = first.update(batch())
    torch.manual_seed(3)
    after_second = second.update(batch())
    assert (after_first == after_second).all()
    assert torch.equal(action(first), action(second))


def test_a_policy_to_start_from() -> None:
    source = learner(algorithm="bc")
    source.update(batch())
    tensors = source.policy.state_dict()
    torch.manual_seed(9)
    made = build_learner(recipe(), FACTS, None, initial_policy=tensors)
    assert torch.equal(action(made), action(source))


def test_a_policy_that_does_not_fit_is_refused() -> None:
    tensors = learner(algorithm="bc", policy={"hidden_sizes": [4]}).policy.state_dict()
    with pytest.raises(CheckpointError, match="does not fit"):
        build_learner(recipe(), FACTS, None, initial_policy=tensors)


def test_cloning_lowers_its_loss() -> None:
    made = learner(algorithm="bc", bc={"lr": 1e-2})
    assert isinstance(made, BCLearner)
    losses = [float(made.update(batch())["loss_actor"]) for _ in range(60)]
    assert losses[-1] < 0.95 * losses[0]


def test_ignored_terminals_bootstrap() -> None:
    """With every transition terminal and Q at 0 targets are the reward; ignored, the next value counts as well."""
    everything_ends = batch()
    everything_ends["next", "terminated"] = torch.ones(16, 1, dtype=torch.bool)
    bounded = {"value_bounds": [-50.0, -40.0], "gamma": 0.5}
    ends = learner(awac=bounded).update(everything_ends)["target_value"]
    goes_on = learner(awac={**bounded, "ignore_terminals": True}).update(everything_ends)["target_value"]
    assert float(ends) == pytest.approx(-1.0)
    assert float(goes_on) == pytest.approx(-1.0 - 0.5 * 40.0)


@pytest.mark.parametrize("compile_update", [False, True])
def test_a_single_critic_learns_and_keeps_its_first_weights(compile_update: bool) -> None:
    torch.manual_seed(0)
    policy = build_policy(PolicySection(hidden_sizes=(8,)), 3, 2)
    (critic,) = build_qvalues(QValueSection(hidden_sizes=(8,), count=1), 3, 2)
    first = {name: value.clone() for name, value in critic.named_parameters()}
    learner = AWACLearner(policy, [critic], AWACSection(), reward_range=(-1.0, 0.0), compile_update=compile_update)
    for params in (learner.loss.qvalue_network_params, learner.loss.target_qvalue_network_params):
        flat = dict(params.flatten_keys(".").items())
        for name, value in first.items():
            assert torch.equal(flat[name][0], value), name
    losses = [float(learner.update(batch(64))["loss_qvalue"]) for _ in range(40)]
    assert losses[-1] < 0.95 * losses[0]
