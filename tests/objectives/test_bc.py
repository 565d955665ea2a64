"""BCLoss against its formulas in numpy, and its contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.objectives import BatchError, BCLoss

ROWS = ("ordinary", "terminal", "truncated")


@pytest.fixture
def actor(networks: Any) -> Any:
    return networks()[0]


@pytest.fixture
def batch(transitions: Any) -> TensorDict:
    return transitions(*ROWS)


def by_hand(actor: Any, batch: TensorDict) -> tuple[Any, Any]:
    """-log pi(a|s) and the mean square of mu - a, each [B], from loc and scale."""
    loc, scale = (x.detach().numpy() for x in actor[0].module(batch["observation"]))
    action = batch["action"].numpy()
    nll = (0.5 * ((action - loc) / scale) ** 2 + np.log(scale) + 0.5 * np.log(2 * np.pi)).sum(-1)
    return nll, ((loc - action) ** 2).mean(-1)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", None])
@pytest.mark.parametrize("which", ["nll", "mse"])
def test_equals_the_formula(which: Any, reduction: Any, actor: Any, batch: TensorDict) -> None:
    nll, mse = by_hand(actor, batch)
    loss = BCLoss(actor, loss_function=which, reduction=reduction)
    out = loss(batch)
    assert list(out.keys()) == loss.out_keys
    assert out.batch_size == (batch.batch_size if reduction == "none" else ())
    expected = {"nll": nll, "mse": mse}[which]
    reduced = {None: expected.mean(), "mean": expected.mean(), "sum": expected.sum(), "none": expected}[reduction]
    assert np.allclose(out["loss_actor"].detach().numpy(), reduced, rtol=1e-10)
    assert np.allclose(out["log_prob"].numpy(), -nll if reduction == "none" else -nll.mean(), rtol=1e-10)
    assert np.allclose(out["squared_error"].numpy(), mse if reduction == "none" else mse.mean(), rtol=1e-10)
    assert {key for key, value in out.items() if value.requires_grad} == {"loss_actor"}


def test_squared_error_of_a_squashed_policy_is_in_actions(networks: Any, batch: TensorDict) -> None:
    actor, _ = networks(distribution="tanh_normal")
    loc = actor[0].module(batch["observation"])[0].detach().numpy()
    expected = ((np.tanh(loc) - batch["action"].numpy()) ** 2).mean()
    assert BCLoss(actor, loss_function="mse")(batch)["loss_actor"].item() == pytest.approx(expected)


@pytest.mark.parametrize(("which", "trained"), [("nll", True), ("mse", False)])
def test_deviation_is_trained_by_likelihood_only(which: Any, trained: bool, actor: Any, batch: TensorDict) -> None:
    BCLoss(actor, loss_function=which)(batch)["loss_actor"].backward()
    assert (actor[0].module.std_parameter.grad is not None) == trained
    assert actor[0].module.mlp.last.weight.grad.abs().sum() > 0


def test_learns(actor: Any, transitions: Any) -> None:
    batch, loss = transitions(*ROWS * 4), BCLoss(actor)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-2)
    first = loss(batch)["loss_actor"].item()
    for _ in range(60):
        optimizer.zero_grad()
        out = loss(batch)["loss_actor"]
        out.backward()
        optimizer.step()
    assert out.item() < first - 1


def test_keyword_call_and_renamed_action(actor: Any, batch: TensorDict) -> None:
    loss = BCLoss(actor)
    expected = loss(batch)["loss_actor"].item()
    assert loss(observation=batch["observation"], action=batch["action"])[0].item() == pytest.approx(expected)
    loss.set_keys(action="a")
    assert loss.in_keys == ["observation", "a"]
    assert loss(batch.clone(False).rename_key_("action", "a"))["loss_actor"].item() == pytest.approx(expected)


def test_batch_is_not_written_to(actor: Any, batch: TensorDict) -> None:
    before, keys = batch.clone(), set(batch.keys(True))
    BCLoss(actor)(batch)
    assert set(batch.keys(True)) == keys
    assert (batch == before).all()


def test_state_dict_round_trip(actor: Any, networks: Any, batch: TensorDict) -> None:
    loss, other = BCLoss(actor), BCLoss(networks()[0])
    with torch.no_grad():
        actor[0].module.mlp.last.bias.add_(1)
    assert loss(batch)["loss_actor"] != other(batch)["loss_actor"]
    other.load_state_dict(loss.state_dict())
    assert loss(batch)["loss_actor"] == other(batch)["loss_actor"]


@pytest.mark.parametrize("options", [{"loss_function": "l1"}, {"reduction": "max"}])
def test_unknown_options(options: Any, actor: Any) -> None:
    with pytest.raises(ValueError, match="is one of"):
        BCLoss(actor, **options)


def test_unsuitable_batches(actor: Any, batch: TensorDict) -> None:
    with pytest.raises(BatchError, match="no entry 'action'"):
        BCLoss(actor)(batch.exclude("action"))
    with pytest.raises(BatchError, match="'observation' has shape"):
        BCLoss(actor)(TensorDict({"observation": batch["observation"][:2], "action": batch["action"]}, []))
    batch["collector", "mask"] = torch.ones(3, dtype=torch.bool)
    with pytest.raises(BatchError, match="padded"):
        BCLoss(actor)(batch)
