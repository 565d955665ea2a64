"""Learners: what they are made of, that an update does what it says, and that their state is all of it."""

from __future__ import annotations

import math

import pytest
import torch
from tensordict import TensorDict
from torchrl.envs.utils import ExplorationType, set_exploration_type

from awac_tr.algorithms.base import Learner, Statistics
from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep
from awac_tr.algorithms.value_bounds import value_bounds
from awac_tr.envs.env_info import EnvInfo
from awac_tr.errors import CheckpointError, RecipeError
from awac_tr.recipes.loader import recipe_from_dict
from awac_tr.recipes.schema import Recipe

FACTS = EnvInfo("toy", 10, (-1.0, 0.0), None, None, 3, 2)
STATISTICS = Statistics(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 2.0]))


def recipe(**sections: object) -> Recipe:
    base: dict[str, object] = {
        "name": "toy",
        "env": {"id": "toy"},
        "data": {"datasets": ["toy"]},
        "policy": {"hidden_sizes": [8]},
        "qvalue": {"hidden_sizes": [8]},
        "compile": False,
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


def test_scaled_rewards_are_other_rewards() -> None:
    """The same losses as of rewards that were recorded so, bounds of values included; the batch stays as it was."""
    scaled = learner(algorithm={"value_bounds": "reward_range", "reward_scale": 0.25})
    plain, data, recorded = learner(algorithm={"value_bounds": [-25.0, 0.0]}), batch(), batch()
    recorded["next", "reward"] *= 0.25
    assert isinstance(scaled, GradientLearner)
    assert scaled.loss.value_bounds == pytest.approx((-25.0, 0.0))
    for _ in range(2):
        torch.manual_seed(5)
        ours = scaled.update(data)
        torch.manual_seed(5)
        theirs = plain.update(recorded)
        assert all(torch.allclose(ours[name], theirs[name]) for name in ("loss_actor", "loss_qvalue"))
    assert (data["next", "reward"] == -1).all()


@pytest.mark.parametrize(("units", "warned"), [(None, 1), ("AMX", 0)])
def test_emulated_bf16_is_said_once(
    units: str | None, warned: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("awac_tr.algorithms.hardware.bf16_units", lambda _: units)
    learner(precision="bf16")
    assert caplog.text.count("precision=auto takes fp32 here") == warned
    learner(precision="fp32")
    learner(precision="auto")
    assert caplog.text.count("precision=auto takes fp32 here") == warned


def test_reward_range_reaches_the_loss() -> None:
    made = learner(algorithm={"value_bounds": "reward_range", "gamma": 0.5})
    assert isinstance(made, GradientLearner)
    assert made.loss.value_bounds == pytest.approx((-2.0, 0.0))


def test_unbounded_rewards_are_refused() -> None:
    facts = EnvInfo("toy", 10, (-math.inf, math.inf), None, None, 3, 2)
    with pytest.raises(RecipeError, match="value_bounds"):
        build_learner(recipe(algorithm={"value_bounds": "reward_range"}), facts, None)


@pytest.mark.parametrize("algorithm", ["awac", "bc"])
def test_update_moves_the_policy_that_acts(algorithm: str) -> None:
    made = learner(algorithm={"name": algorithm})
    before = action(made)
    out = made.update(batch())
    assert not torch.equal(before, action(made))
    assert not any(value.requires_grad or value.dim() for value in out.values())
    assert "loss_actor" in out


def test_update_leaves_the_batch_alone() -> None:
    given = batch()
    copy = given.clone()
    learner(algorithm={"ignore_terminals": True}).update(given)
    assert set(given.keys(True, True)) == set(copy.keys(True, True))
    assert (given == copy).all()


def test_statistics_stand_in_every_network() -> None:
    made = learner()
    assert isinstance(made, GradientLearner)
    found = [
        value for name, value in made.loss.state_dict().items() if name.endswith("loc") and value.shape[-1:] == (3,)
    ]
    assert len(found) >= 3  # actor, critics, target critics
    assert all(torch.equal(value.reshape(-1, 3)[0], STATISTICS.mean) for value in found)


def test_targets_follow_by_tau() -> None:
    made = learner(algorithm={"tau": 0.25})
    assert isinstance(made, GradientLearner)
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
    made = learner(algorithm={"policy_weight_decay": 0.5, "policy_lr": 1e-3, "qvalue_lr": 1e-2})
    assert isinstance(made, GradientLearner)
    policy, qvalue = made.steps[0].optimizer.param_groups
    assert (policy["weight_decay"], policy["lr"]) == (0.5, 1e-3)
    assert (qvalue["weight_decay"], qvalue["lr"]) == (0.0, 1e-2)
    assert {id(parameter) for parameter in policy["params"]} == {
        id(parameter) for parameter in made.policy.parameters()
    }


@pytest.mark.parametrize("algorithm", ["awac", "bc"])
def test_state_is_everything(algorithm: str) -> None:
    first = learner(algorithm={"name": algorithm})
    for _ in range(3):
        first.update(batch())
    torch.manual_seed(7)
    second = build_learner(recipe(algorithm={"name": algorithm}), FACTS, None)
    second.load_state_dict(first.state_dict())
    assert torch.equal(action(first), action(second))
    torch.manual_seed(3)
    after_first = first.update(batch())
    torch.manual_seed(3)
    after_second = second.update(batch())
    assert (after_first == after_second).all()
    assert torch.equal(action(first), action(second))


def test_a_policy_to_start_from() -> None:
    source = learner(algorithm={"name": "bc"})
    source.update(batch())
    tensors = source.policy.state_dict()
    torch.manual_seed(9)
    made = build_learner(recipe(), FACTS, None, initial_policy=tensors)
    assert torch.equal(action(made), action(source))


def test_a_policy_that_does_not_fit_is_refused() -> None:
    tensors = learner(algorithm={"name": "bc"}, policy={"hidden_sizes": [4]}).policy.state_dict()
    with pytest.raises(CheckpointError, match="does not fit"):
        build_learner(recipe(), FACTS, None, initial_policy=tensors)


def test_cloning_lowers_its_loss() -> None:
    made = learner(algorithm={"name": "bc", "lr": 1e-2})
    assert isinstance(made, GradientLearner)
    losses = [float(made.update(batch())["loss_actor"]) for _ in range(60)]
    assert losses[-1] < 0.95 * losses[0]


def test_ignored_terminals_bootstrap() -> None:
    """With every transition terminal and Q at 0 targets are the reward; ignored, the next value counts as well."""
    everything_ends = batch()
    everything_ends["next", "terminated"] = torch.ones(16, 1, dtype=torch.bool)
    bounded = {"value_bounds": [-50.0, -40.0], "gamma": 0.5}
    ends = learner(algorithm=bounded).update(everything_ends)["target_value"]
    goes_on = learner(algorithm={**bounded, "ignore_terminals": True}).update(everything_ends)["target_value"]
    assert float(ends) == pytest.approx(-1.0)
    assert float(goes_on) == pytest.approx(-1.0 - 0.5 * 40.0)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_single_critic_learns_and_keeps_its_first_weights(compiled: bool) -> None:
    made = learner(qvalue={"hidden_sizes": [8], "count": 1}, compile=compiled)
    assert isinstance(made, GradientLearner)
    first, target = (
        dict(params.data.flatten_keys(".").items())
        for params in (made.loss.qvalue_network_params, made.loss.target_qvalue_network_params)
    )
    assert all(torch.equal(first[name], target[name]) for name in first)
    losses = [float(made.update(batch(64))["loss_qvalue"]) for _ in range(40)]
    assert losses[-1] < 0.95 * losses[0]


def test_steps_are_made_in_their_phases_also_after_resuming() -> None:
    source = learner(algorithm={"name": "bc"})
    assert isinstance(source, GradientLearner)
    policy, loss = source.policy, source.loss
    groups = [(list(loss.parameters()), 1e-3, 0.0)]

    def step(name: str, phase: str) -> GradientStep:
        return GradientStep(lambda batch: TensorDict({name: loss(batch)["loss_actor"]}), groups, phases=(phase,))

    def made() -> GradientLearner:
        return GradientLearner(policy, loss, [step("loss_first", "offline"), step("loss_second", "online")])

    first = made()
    assert "loss_first" in first.update(batch())
    first.on_phase("online")
    assert "loss_first" not in first.update(batch())
    second = made()
    second.load_state_dict(first.state_dict())
    assert "loss_first" not in second.update(batch())
