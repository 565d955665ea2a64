"""What TorchRL asks of its own losses (test/objectives in pytorch/rl), asked of AWACLoss."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictSequential,
)
from torch import nn
from torchrl.data.postprocs import MultiStep
from torchrl.modules import MLP, IndependentNormal, NormalParamExtractor
from torchrl.objectives import HardUpdate, SoftUpdate, ValueEstimators

from awac_tr.objectives import AWACLoss

ROWS = ("ordinary", "terminal", "truncated")
KEYS = {
    "action": "action",
    "state_action_value": "state_action_value",
    "reward": "reward",
    "done": "done",
    "terminated": "terminated",
    "priority": "td_error",
    "priority_weight": "priority_weight",
}
TRUNK = ("module", "0", "module", "0", "weight")


@pytest.fixture
def loss(make_loss: Any) -> AWACLoss:
    return make_loss()


@pytest.fixture
def batch(transitions: Any) -> TensorDict:
    return transitions(*ROWS)


def critic(width: int = 2, trunk: TensorDictModule | None = None) -> TensorDictModule:
    head = MLP(width + 2, 1, num_cells=[4]).double()
    if trunk is None:
        return TensorDictModule(head, ["observation", "action"], ["state_action_value"])
    return TensorDictSequential(trunk, TensorDictModule(head, ["hidden", "action"], ["state_action_value"]))


def with_trunk(count: int, form: str = "list", **options: Any) -> tuple[AWACLoss, TensorDictModule, Any]:
    """A loss whose actor and critics read the same hidden layer, that layer, and the updater of its targets."""
    torch.manual_seed(0)
    trunk = TensorDictModule(MLP(3, 2, num_cells=[4], activate_last_layer=True).double(), ["observation"], ["hidden"])
    head = nn.Sequential(nn.Linear(2, 4), NormalParamExtractor()).double()
    actor = ProbabilisticTensorDictSequential(
        trunk,
        TensorDictModule(head, ["hidden"], ["loc", "scale"]),
        ProbabilisticTensorDictModule(["loc", "scale"], ["action"], distribution_class=IndependentNormal),
    )
    critics = [critic(trunk=trunk) for _ in range(count)]
    given = {"list": critics, "modules": nn.ModuleList(critics), "single": critics[0]}[form]
    loss = AWACLoss(actor, given, num_qvalue_nets=count, **options)
    return loss, trunk, SoftUpdate(loss, tau=0.5)


def reached(loss: AWACLoss) -> set[str]:
    """Names of the parameters with a gradient, which is taken away."""
    found = {name for name, value in loss.named_parameters() if value.grad is not None and (value.grad != 0).any()}
    loss.zero_grad(set_to_none=True)
    return found


class TestKeys:
    def test_defaults_and_changes(self, loss: AWACLoss) -> None:
        assert vars(loss.tensor_keys) == KEYS
        for name in KEYS:
            other = copy.deepcopy(loss)
            other.set_keys(**{name: "test1"})
            assert getattr(other.tensor_keys, name) == "test1"
        loss.set_keys(**dict.fromkeys(KEYS, "test1"))
        assert set(vars(loss.tensor_keys).values()) == {"test1"}
        loss.set_keys(**dict.fromkeys(KEYS, None))
        assert vars(loss.tensor_keys) == KEYS

    def test_reach_the_value_estimator(self, loss: AWACLoss) -> None:
        names = {"done": "done_test", "terminated": "terminated_test", "reward": ("reward", "test")}
        loss.set_keys(**names)
        for _ in range(2):
            assert {name: getattr(loss.value_estimator.tensor_keys, name) for name in names} == names
            loss.make_value_estimator(ValueEstimators.TD0, gamma=0.5)

    @pytest.mark.parametrize(
        "names", [{}, {"done": "done2"}, {"reward": "reward2", "done": "done2", "terminated": "terminated2"}], ids=str
    )
    def test_call_by_keywords_with_done(self, names: dict[str, str], values: Any, loss: AWACLoss, batch: Any) -> None:
        expected = values(loss, batch.copy())
        loss.set_keys(**names)
        flags = {f"next_{names.get(key, key)}": batch["next", key] for key in ("reward", "done", "terminated")}
        inputs = {key: batch[key] for key in ("observation", "action")}
        torch.manual_seed(3)
        out = loss(**inputs, next_observation=batch["next", "observation"], **flags)
        assert dict(zip(loss.out_keys, (x.item() for x in out), strict=True)) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("without", [(), (("next", "done"),)])
    def test_selected_out_keys(self, without: Any, values: Any, loss: AWACLoss, batch: TensorDict) -> None:
        expected = values(loss, batch.copy())
        assert loss.select_out_keys("loss_qvalue") is loss
        given = batch.exclude(*without)
        torch.manual_seed(3)
        assert loss(
            **given.flatten_keys("_").select(*map("_".join, map(_parts, loss.in_keys)), strict=False)
        ).item() == (pytest.approx(expected["loss_qvalue"], rel=1e-9))
        assert set(loss(given).keys()) == {"loss_qvalue"}
        with pytest.raises(ValueError, match="there is no"):
            loss.select_out_keys("loss_value")
        assert values(loss.reset_out_keys(), batch) == pytest.approx(expected, rel=1e-9)


def _parts(key: Any) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key


class TestIndependence:
    @pytest.mark.parametrize("count", [1, 2, 4])
    @pytest.mark.parametrize("deactivate_vmap", [False, True])
    def test_no_parameter_is_reached_by_both_or_none(
        self, count: int, deactivate_vmap: bool, make_loss: Any, batch: TensorDict
    ) -> None:
        loss = make_loss(count=count, deactivate_vmap=deactivate_vmap)
        out, names = loss(batch), {name for name, _ in loss.named_parameters()}
        out["loss_actor"].backward(retain_graph=True)
        by_actor = reached(loss)
        out["loss_qvalue"].backward()
        by_qvalue = reached(loss)
        assert by_actor == {name for name in names if name.startswith("actor_network_params")}
        assert by_qvalue == names - by_actor
        assert not any(name.startswith("target_") for name in names)

    @pytest.mark.parametrize(
        ("count", "form"), [(1, "list"), (1, "single"), (2, "list"), (2, "modules"), (3, "single")]
    )
    @pytest.mark.parametrize("separate", [True, False])
    def test_a_shared_trunk(self, separate: bool, count: int, form: str, batch: TensorDict) -> None:
        loss, trunk, targets = with_trunk(count, form, separate_losses=separate)
        out = loss(batch)
        out["loss_qvalue"].backward(retain_graph=True)
        by_qvalue = reached(loss)
        out["loss_actor"].backward()
        by_actor = reached(loss)
        assert len(by_actor) == 6
        assert len(by_qvalue - by_actor) == 4
        assert len(by_qvalue & by_actor) == (0 if separate else 4)
        with torch.no_grad():
            trunk.module[0].weight.add_(1)
        before = loss.target_qvalue_network_params.get(TRUNK).clone()
        targets.step()
        online, target = loss.qvalue_network_params.get(TRUNK), loss.target_qvalue_network_params.get(TRUNK)
        for i in range(count):
            assert torch.equal(online[i], trunk.module[0].weight)
            assert torch.allclose(target[i], before[i] + 0.5)

    @pytest.mark.parametrize("separate", [True, False])
    def test_a_shared_trunk_survives_saving_copying_and_moving(self, separate: bool, batch: TensorDict) -> None:
        loss, trunk, _ = with_trunk(2, separate_losses=separate)
        state = copy.deepcopy(loss.state_dict())
        with torch.no_grad():
            trunk.module[0].weight.mul_(2)
        loss.load_state_dict(state)
        assert torch.equal(trunk.module[0].weight, state["actor_network_params.module.0.module.0.weight"])
        for other in (loss, copy.deepcopy(loss), copy.deepcopy(loss).float()):
            with torch.no_grad():
                other.actor_network_params.get(TRUNK).add_(1)
            assert torch.equal(other.qvalue_network_params.get(TRUNK)[1], other.actor_network_params.get(TRUNK))
        loss(batch)["loss_qvalue"].backward()
        assert any("actor" in name for name in reached(loss)) != separate

    def test_critics_that_share_with_each_other_are_refused(self, networks: Any) -> None:
        actor, (first, _) = networks()
        with pytest.raises(ValueError, match=r"critics share .*weight.* with each other: .*deepcopy"):
            AWACLoss(actor, [first, first])

    def test_critics_in_a_module_list(self, values: Any, networks: Any, batch: TensorDict) -> None:
        results = []
        for form in (list, tuple, nn.ModuleList):
            actor, critics = networks()
            loss = AWACLoss(actor, form(critics))
            SoftUpdate(loss, tau=0.5)
            results.append(values(loss, batch))
        assert results[0] == results[1] == results[2]


class TestParameters:
    @pytest.mark.parametrize(("updater", "share"), [(lambda x: SoftUpdate(x, tau=0.25), 0.25), (HardUpdate, 0.0)])
    def test_targets_follow_their_updater(self, updater: Any, share: float, make_loss: Any) -> None:
        loss = make_loss()
        targets = updater(loss)
        with torch.no_grad():
            for value in loss.parameters():
                value.add_(1.0)
        trained = [key for key, value in loss.qvalue_network_params.items(True, True) if value.requires_grad]
        before = loss.target_qvalue_network_params.clone()
        for step in range(1, 3):
            if not share:
                targets.counter, share = targets.value_network_update_interval, 1.0
            targets.step()
            for key in trained:
                source, target = loss.qvalue_network_params.get(key).data, loss.target_qvalue_network_params.get(key)
                assert torch.allclose(target, source + (before.get(key) - source) * (1 - share) ** step), key

    def test_parameters_can_be_reset(self) -> None:
        torch.manual_seed(0)
        head = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
        actor = ProbabilisticTensorDictSequential(
            TensorDictModule(head, ["observation"], ["loc", "scale"]),
            ProbabilisticTensorDictModule(["loc", "scale"], ["action"], distribution_class=IndependentNormal),
        )
        loss = AWACLoss(actor, [critic(3), critic(3)])
        with torch.no_grad():
            for value in loss.parameters():
                value.add_(1000)
        loss.reset_parameters_recursive()
        assert all(value.abs().max() < 100 for value in loss.parameters())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_the_networks_dtype_is_the_losses(self, dtype: torch.dtype, make_loss: Any, transitions: Any) -> None:
        loss = make_loss(dtype=dtype)
        batch = transitions(*ROWS, dtype=dtype)
        batch["next", "reward"] = batch["next", "reward"].double()  # as environments give them
        out = loss(batch)
        assert {value.dtype for value in out.values()} == {batch["td_error"].dtype} == {dtype}
        (out["loss_actor"] + out["loss_qvalue"]).backward()
        assert {value.grad.dtype for value in loss.parameters() if value.grad is not None} == {dtype}

    @pytest.mark.parametrize("randomness", ["error", "same", "different"])
    def test_randomness_of_vmap(self, randomness: str, loss: AWACLoss, batch: TensorDict) -> None:
        loss.set_vmap_randomness(randomness)
        assert loss.vmap_randomness == randomness
        assert torch.isfinite(loss(batch)["loss_qvalue"])


class TestPriority:
    @pytest.mark.parametrize("reduction", [None, "none", "mean", "sum"])
    def test_is_the_largest_td_error_of_the_critics(self, reduction: Any, make_loss: Any, batch: TensorDict) -> None:
        loss = make_loss(reduction=reduction)
        assert loss.reduction == ("mean" if reduction is None else reduction)
        torch.manual_seed(3)
        out = loss(batch)
        size = (3,) if reduction == "none" else ()
        assert out.batch_size == out["loss_actor"].shape == out["loss_qvalue"].shape == size
        loss.reduction = "none"
        torch.manual_seed(3)
        target = loss(batch.copy())["target_value"]
        with torch.no_grad():
            (qvalues,) = loss._qvalues(loss.qvalue_network_params, batch)
        assert torch.allclose(batch["td_error"], (qvalues[..., 0] - target).abs().amax(0), rtol=1e-12)
        assert not batch["td_error"].requires_grad

    def test_under_another_key(self, loss: AWACLoss, batch: TensorDict) -> None:
        loss.set_keys(priority=("sampler", "priority"))
        loss(batch)
        assert batch["sampler", "priority"].shape == (3,)
        assert batch.get("td_error", None) is None


@pytest.mark.parametrize("n", [1, 2, 3])
def test_n_step_targets(n: int, make_loss: Any) -> None:
    """TorchRL's MultiStep looks n steps ahead; what is seen there counts by gamma to that power."""
    gamma, length, value = 0.75, 5, 7.0
    reward = torch.arange(1.0, length + 1, dtype=torch.float64).reshape(1, length, 1)
    flags = torch.zeros(1, length, 1, dtype=torch.bool)
    observation = torch.randn(1, length + 1, 3, dtype=torch.float64)
    following = {"observation": observation[:, 1:], "reward": reward, "terminated": flags, "done": flags}
    path = {"observation": observation[:, :-1], "action": torch.zeros(1, length, 2, dtype=torch.float64)}
    batch = MultiStep(gamma=gamma, n_steps=n)(TensorDict({**path, "next": following}, [1, length]))
    loss = make_loss(value_bounds=(value, value + 1e-12), reduction="none")
    target = loss(batch)["target_value"][0].tolist()
    for t in range(length):
        steps = min(n, length - t)
        expected = sum(gamma**k * (t + 1 + k) for k in range(steps)) + gamma**steps * value
        assert target[t] == pytest.approx(expected, rel=1e-6)
