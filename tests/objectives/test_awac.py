"""AWACLoss keeps TorchRL's contract: keys, calls, parameters, targets, state; and it refuses what it cannot use."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.objectives import SoftUpdate, ValueEstimators
from torchrl.objectives.value import GAE, TD0Estimator

from awac_tr.objectives import AWACLoss, BatchError

ROWS = ("ordinary", "terminal", "truncated")
PER_ROW = ("advantage", "log_prob", "qvalue", "target_value")
DIAGNOSTICS = (
    "advantage",
    "effective_sample_size",
    "capped_fraction",
    "weight_max",
    "log_prob",
    "qvalue",
    "target_value",
)


@pytest.fixture
def loss(make_loss: Any) -> AWACLoss:
    return make_loss()


@pytest.fixture
def batch(transitions: Any) -> TensorDict:
    return transitions(*ROWS)


class Wide(nn.Module):
    """A critic that gives five numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(5, 5).double()

    def forward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(torch.cat([observation, action], -1))
        return out


class TestOutputs:
    def test_keys_and_shapes(self, loss: AWACLoss, batch: TensorDict) -> None:
        out = loss(batch)
        assert list(out.keys()) == ["loss_actor", "loss_qvalue", *DIAGNOSTICS] == loss.out_keys
        assert all(value.shape == () for value in out.values())
        assert {key for key, value in out.items() if value.requires_grad} == {"loss_actor", "loss_qvalue"}

    @pytest.mark.parametrize("size", [1, 3])
    def test_reduction_none_gives_every_transition_its_own(self, size: int, make_loss: Any, transitions: Any) -> None:
        loss, batch = make_loss(reduction="none"), transitions(*ROWS[:size])
        out = loss(batch)
        assert list(out.keys()) == loss.out_keys == ["loss_actor", "loss_qvalue", *PER_ROW]
        assert out.batch_size == batch.batch_size
        assert all(value.shape == (size,) for value in out.values())
        torch.manual_seed(3)
        rows, whole = loss(batch), {}
        for loss.reduction in ("mean", "sum"):
            torch.manual_seed(3)
            whole[loss.reduction] = loss(batch)
        for key in ("loss_actor", "loss_qvalue", *PER_ROW):
            assert torch.allclose(rows[key].mean(), whole["mean"][key], rtol=1e-12), key
        assert torch.allclose(rows["loss_qvalue"].sum(), whole["sum"]["loss_qvalue"], rtol=1e-12)

    def test_keyword_call_equals_tensordict_call(self, values: Any, loss: AWACLoss, batch: TensorDict) -> None:
        expected = values(loss, batch)
        torch.manual_seed(3)
        out = loss(
            observation=batch["observation"],
            action=batch["action"],
            next_observation=batch["next", "observation"],
            next_reward=batch["next", "reward"],
            next_terminated=batch["next", "terminated"],
        )
        assert dict(zip(loss.out_keys, (x.item() for x in out), strict=True)) == pytest.approx(expected, rel=1e-9)

    def test_positional_call_follows_in_keys(self, values: Any, loss: AWACLoss, batch: TensorDict) -> None:
        expected = values(loss, batch)
        torch.manual_seed(3)
        assert loss(*(batch[key] for key in loss.in_keys))[0].item() == pytest.approx(expected["loss_actor"])

    def test_selected_out_keys(self, loss: AWACLoss, batch: TensorDict) -> None:
        loss.select_out_keys("loss_actor", "loss_qvalue")
        assert set(loss(batch).keys()) == {"loss_actor", "loss_qvalue"}

    @pytest.mark.parametrize(
        "options", [{}, {"value_estimate": "mean"}, {"value_samples": 3, "value_bounds": (-1.0, 0.5)}]
    )
    def test_vmap_and_loop_agree(self, values: Any, options: dict[str, Any], make_loss: Any, batch: TensorDict) -> None:
        one, other = (values(make_loss(deactivate_vmap=off, **options), batch) for off in (False, True))
        assert one == pytest.approx(other, rel=1e-9)

    def test_each_loss_alone_equals_its_part_of_forward(self, make_loss: Any, batch: TensorDict) -> None:
        loss = make_loss(value_estimate="mean", policy={"log_std_max": -1.9})
        torch.manual_seed(3)
        whole = loss(batch)
        torch.manual_seed(3)
        (qvalue, of_qvalue), (actor, of_actor) = loss.qvalue_loss(batch), loss.actor_loss(batch)
        assert set(of_actor.keys()) | set(of_qvalue.keys()) == {*DIAGNOSTICS, "td_error"}
        parts = {"loss_actor": actor, "loss_qvalue": qvalue, "qvalue": of_qvalue["qvalue"]}
        for key, value in {**parts, **of_actor.to_dict()}.items():
            assert torch.allclose(value, whole[key], rtol=1e-12), key
        assert of_qvalue["td_error"].shape == (3,)
        assert actor.requires_grad
        assert qvalue.requires_grad

    def test_draws_come_from_torch_and_differ(self, values: Any, loss: AWACLoss, batch: TensorDict) -> None:
        assert values(loss, batch) == values(loss, batch)
        assert loss(batch)["advantage"] != loss(batch)["advantage"]


class TestKeys:
    def test_renamed_keys(self, values: Any, loss: AWACLoss, batch: TensorDict) -> None:
        expected = values(loss, batch)
        names = {"action": "a", "reward": "r", "terminated": "end", "state_action_value": "q"}
        for critic in [loss.qvalue_network]:
            critic.in_keys, critic.out_keys = ["observation", "a"], ["q"]
        loss.set_keys(**names)
        renamed = batch.clone(False)
        renamed.rename_key_("action", "a")
        renamed["next"] = batch["next"].clone(False).rename_key_("reward", "r").rename_key_("terminated", "end")
        assert values(loss, renamed) == pytest.approx(expected, rel=1e-9)
        nexts = [("next", key) for key in ("r", "end", "observation", "done")]
        assert loss.in_keys == ["observation", "a", *nexts]

    def test_nested_action_key(self, values: Any, make_loss: Any, batch: TensorDict) -> None:
        loss = make_loss()
        expected = values(loss, batch)
        loss.qvalue_network.in_keys = ["observation", ("hand", "action")]
        loss.set_keys(action=("hand", "action"))
        batch.rename_key_("action", ("hand", "action"))
        assert values(loss, batch) == pytest.approx(expected, rel=1e-9)

    def test_unknown_name(self, loss: AWACLoss) -> None:
        with pytest.raises(ValueError, match="not an accepted tensordict key"):
            loss.set_keys(acton="a")

    def test_critics_must_read_the_action(self, loss: AWACLoss, batch: TensorDict) -> None:
        loss.set_keys(action="a")
        with pytest.raises(ValueError, match="not the action 'a'"):
            loss(batch)

    def test_critics_that_read_another_action_key(self, values: Any, networks: Any, batch: TensorDict) -> None:
        def evaluated(key: str) -> Any:
            actor, critics = networks()
            for critic in critics:
                critic.in_keys = ["observation", key]
            loss = AWACLoss(actor, critics, temperature=0.5)
            SoftUpdate(loss, tau=0.5)
            loss.set_keys(action=key)
            return values(
                loss, batch.clone(False).rename_key_("action", key) if key != "action" else batch.clone(False)
            )

        assert evaluated("steering") == evaluated("action")


class TestParameters:
    @pytest.mark.parametrize("name", ["loss_actor", "loss_qvalue"])
    def test_each_loss_reaches_its_network_only(self, name: str, loss: AWACLoss, batch: TensorDict) -> None:
        loss(batch)[name].backward()
        network = "actor_network" if name == "loss_actor" else "qvalue_network"
        reached = {key for key, value in loss.named_parameters() if value.grad is not None}
        assert reached == {key for key, _ in loss.named_parameters() if key.startswith(network)}
        assert all(value.grad.abs().sum() > 0 for key, value in loss.named_parameters() if key in reached)

    def test_targets_have_no_gradient_and_move_softly(self, loss: AWACLoss, batch: TensorDict) -> None:
        updater = SoftUpdate(loss, tau=0.25)
        targets = loss.target_qvalue_network_params
        assert not any(value.requires_grad for value in targets.values(True, True))
        with torch.no_grad():
            loss.qvalue_network_params.data.apply_(lambda x: x + 1)
        before = targets.data.clone()
        updater.step()
        moved = ("module", "mlp", "last", "weight")
        assert torch.allclose(targets.get(moved), before[moved] + 0.25)
        loss(batch)["loss_qvalue"].backward()

    def test_list_of_critics_is_kept_as_given(self, networks: Any) -> None:
        actor, critics = networks()
        given = copy.deepcopy(critics)
        loss = AWACLoss(actor, critics)
        SoftUpdate(loss, tau=0.5)
        for params in (loss.qvalue_network_params, loss.target_qvalue_network_params.data):
            for i, critic in enumerate(given):
                for name, value in critic.state_dict().items():
                    assert torch.equal(params[i].get(tuple(name.split("."))), value), name
        assert loss.num_qvalue_nets == 2

    def test_actor_is_shared_with_the_loss(self, networks: Any) -> None:
        actor, critics = networks()
        loss = AWACLoss(actor, critics)
        assert {id(p) for p in actor.parameters()} < {id(p) for p in loss.parameters()}

    def test_single_critic_is_redrawn_aloud(self, networks: Any, caplog: pytest.LogCaptureFixture) -> None:
        actor, critics = networks()
        with caplog.at_level(logging.INFO, "awac_tr"):
            loss = AWACLoss(actor, critics[0])
        assert loss.num_qvalue_nets == 2
        assert "pass a list" in caplog.text

    def test_single_critic_alone_is_kept(self, networks: Any) -> None:
        actor, critics = networks()
        expected = critics[0].module.mlp.last.weight.clone()
        loss = AWACLoss(actor, critics[0], num_qvalue_nets=1)
        assert torch.equal(loss.qvalue_network_params.get(("module", "mlp", "last", "weight"))[0], expected)

    @pytest.mark.parametrize("made", [False, True])
    def test_state_dict_round_trip(
        self, values: Any, made: bool, make_loss: Any, networks: Any, batch: TensorDict
    ) -> None:
        loss = make_loss()
        with torch.no_grad():
            for value in loss.parameters():
                value.add_(torch.randn_like(value))
        other = AWACLoss(*networks())
        if made:
            other.make_value_estimator(ValueEstimators.TD0, gamma=0.5)
        SoftUpdate(other, tau=0.5)
        assert values(other, batch) != pytest.approx(values(loss, batch), rel=1e-9)
        other.load_state_dict(loss.state_dict())
        assert values(other, batch) == pytest.approx(values(loss, batch), rel=1e-9)

    def test_trains(self, make_loss: Any, batch: TensorDict) -> None:
        loss = make_loss(value_estimate="mean")
        optimizer = torch.optim.Adam(loss.parameters(), lr=1e-2)
        first = loss(batch)
        for _ in range(60):
            out = loss(batch)
            optimizer.zero_grad()
            (out["loss_actor"] + out["loss_qvalue"]).backward()
            optimizer.step()
        assert out["loss_qvalue"] < 0.5 * first["loss_qvalue"]
        assert out["log_prob"] > first["log_prob"]


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"temperature": 0.0}, "temperature is 0.0, it must be above 0"),
            ({"weighting": "linear"}, "weighting is one of exp, softmax, not 'linear'"),
            ({"value_estimate": "max"}, "value_estimate is one of sample, mean"),
            ({"value_samples": 0}, "value_samples is 0"),
            ({"weight_max": 0.0}, "weight_max is 0.0"),
            ({"value_bounds": (0.0, -1.0)}, r"value_bounds \(0.0, -1.0\)"),
            ({"loss_function": "hinge"}, "loss_function is one of"),
            ({"reduction": "max"}, "reduction is one of"),
            ({"num_qvalue_nets": 3}, "num_qvalue_nets is 3, but 2 critics were given"),
        ],
    )
    def test_out_of_range(self, options: dict[str, Any], message: str, networks: Any) -> None:
        with pytest.raises(ValueError, match=message):
            AWACLoss(*networks(), **options)

    def test_no_critics(self, networks: Any) -> None:
        actor, critics = networks()
        with pytest.raises(ValueError, match="0 critics"):
            AWACLoss(actor, [])
        with pytest.raises(ValueError, match="at least one critic"):
            AWACLoss(actor, critics[0], num_qvalue_nets=0)

    @pytest.mark.parametrize(
        "kind", [None, "td0", ValueEstimators.TD0, TD0Estimator, TD0Estimator(gamma=0.5, value_network=None)]
    )
    def test_td0_in_all_its_forms(self, values: Any, kind: Any, make_loss: Any, batch: TensorDict) -> None:
        loss = make_loss(ignore_terminals=True, value_bounds=(1.0, 1.0 + 1e-12))
        options = {TD0Estimator: {"gamma": 0.5, "value_network": None}}.get(kind, {"gamma": 0.5})
        assert loss.make_value_estimator(kind, **({} if isinstance(kind, TD0Estimator) else options)) is loss
        loss.set_keys(reward="r")
        batch.rename_key_(("next", "reward"), ("next", "r"))
        assert values(loss, batch)["target_value"] == pytest.approx((batch["next", "r"] + 0.5).mean().item())

    @pytest.mark.parametrize(
        "kind",
        [ValueEstimators.GAE, ValueEstimators.TDLambda, "td1", GAE, GAE(gamma=0.9, lmbda=0.9, value_network=None)],
    )
    def test_other_estimators_are_refused(self, kind: Any, loss: AWACLoss) -> None:
        with pytest.raises(NotImplementedError, match="TD0"):
            loss.make_value_estimator(kind, gamma=0.5)

    def test_gamma_is_099_until_set(self, networks: Any) -> None:
        assert AWACLoss(*networks()).value_estimator.gamma.item() == pytest.approx(0.99)

    def test_distribution_must_sum_over_dimensions(self, networks: Any, batch: TensorDict) -> None:
        actor, critics = networks()
        actor[-1].distribution_class = torch.distributions.Normal
        loss = AWACLoss(actor, critics, value_estimate="mean")
        SoftUpdate(loss, tau=0.5)
        with pytest.raises(BatchError, match=r"shape \[3, 2\], expected \[3\](.|\n)*IndependentNormal"):
            loss(batch)

    def test_critics_must_give_columns(self, networks: Any, batch: TensorDict) -> None:
        critics = [TensorDictModule(Wide(), ["observation", "action"], ["state_action_value"])]
        loss = AWACLoss(networks()[0], critics)
        SoftUpdate(loss, tau=0.5)
        with pytest.raises(BatchError, match=r"a critic gave values of shape \[3, 5\], expected \[3, 1\]"):
            loss(batch)

    def test_forgotten_target_updates_are_reported(self, networks: Any, batch: TensorDict) -> None:
        with pytest.warns(UserWarning, match="No target network updater"):
            AWACLoss(*networks())(batch)

    def test_dropout_in_critics(self, networks: Any, batch: TensorDict) -> None:
        actor, critics = networks()
        for critic in critics:
            critic.module.mlp.activation = nn.Sequential(nn.ReLU(), nn.Dropout(0.5))
        loss = AWACLoss(actor, critics)
        SoftUpdate(loss, tau=0.5)
        assert loss.vmap_randomness == "different"
        assert torch.isfinite(loss(batch)["loss_qvalue"])
        loss.set_vmap_randomness("same")
        assert torch.isfinite(loss(batch)["loss_qvalue"])

    @pytest.mark.parametrize("vmap", [True, False])
    @pytest.mark.parametrize("where", ["actor", "critics"])
    def test_an_error_in_a_network_is_that_error(
        self, where: str, vmap: bool, make_loss: Any, batch: TensorDict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loss = make_loss(deactivate_vmap=not vmap)
        before = {name: value.clone() for name, value in loss.state_dict().items()}
        network = loss.actor_network if where == "actor" else loss.qvalue_network

        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError("mine")

        monkeypatch.setattr(next(part for part in network.modules() if hasattr(part, "standardize")), "forward", broken)
        with pytest.raises(ZeroDivisionError, match="mine"):
            loss(batch)
        monkeypatch.undo()
        assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
        loss(batch)
