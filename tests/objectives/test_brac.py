"""BRAC: the KL of the sheet, rewards of [B, 1] that stay so, and a model that learns by its own loss alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchrl.modules.distributions import IndependentNormal
from torchrl.objectives import SoftUpdate, ValueEstimators

from awac_tr.objectives import BRACLoss

ROWS = ("ordinary", "terminal", "truncated")


@pytest.fixture
def make_brac(networks: Callable[..., tuple[Any, list[Any]]]) -> Callable[..., BRACLoss]:
    def build(*, gamma: float = 0.75, count: int = 2, **options: Any) -> BRACLoss:
        actor, critics = networks(count=count)
        behaviour, _ = networks()
        for parameter in behaviour.parameters():
            parameter.data.mul_(0.5)
        loss = BRACLoss(actor, behaviour, critics, **options)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=gamma)
        SoftUpdate(loss, tau=0.5)
        return loss

    return build


def constant(monkeypatch: pytest.MonkeyPatch, loss: BRACLoss, rows: int, value: float) -> None:
    """Every Q is this value, and the model N(0, .3^2), one action dimension."""
    fixed = torch.full((2, rows, 1), value, dtype=torch.float64)
    monkeypatch.setattr(loss, "_qvalues", lambda *_, **__: (fixed,))
    model = gaussian(rows, 0.0, 0.3)
    monkeypatch.setattr(loss.behaviour, "likelihood", lambda _, action: model.log_prob(action))


def gaussian(rows: int, mean: float, std: float) -> IndependentNormal:
    return IndependentNormal(*(torch.full((rows, 1), value, dtype=torch.float64) for value in (mean, std)))


@pytest.mark.parametrize(("value_penalty", "expected"), [(True, 5.9318590), (False, 5.95)])
def test_target_and_actor_of_the_sheet(
    value_penalty: bool, expected: float, make_brac: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pi N(.1, .2^2), pi_b N(0, .3^2): KL .1832429; the mean over many samples."""
    rows = 200_000
    loss = make_brac(penalty_weight=0.1, value_penalty=value_penalty, gamma=0.99)
    constant(monkeypatch, loss, rows, 5.0)
    batch, policy = transitions(*["ordinary"] * rows), gaussian(rows, 0.1, 0.2)
    torch.manual_seed(0)
    value = loss.next_value(batch["next"], policy)
    assert value.shape == (rows, 1)
    assert float(1 + 0.99 * value.mean()) == pytest.approx(expected, abs=5e-4)
    actor, found = loss._actor_terms(batch, policy)
    assert float(actor) == pytest.approx(-4.9816757, abs=5e-4)
    assert float(found["penalty"]) == pytest.approx(0.1 * 0.1832429, abs=5e-4)


def test_rewards_and_likelihoods_do_not_make_a_square(
    make_brac: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rewards (-1, 0), log pi_b (2, -4): (1, -4), not the row means (-2, -1) of the authors' code."""
    loss, batch = make_brac(penalty="reward", penalty_weight=1.0), transitions("ordinary", "ordinary")
    batch["next", "reward"] = torch.tensor([[-1.0], [0.0]], dtype=torch.float64)
    likelihood = torch.tensor([2.0, -4.0], dtype=torch.float64)
    monkeypatch.setattr(loss.behaviour, "likelihood", lambda *_: likelihood)
    assert loss._batch(batch)["next", "reward"].tolist() == [[1.0], [-4.0]]
    assert batch["next", "reward"].tolist() == [[-1.0], [0.0]]
    flawed = (batch["next", "reward"] + likelihood).mean(1)
    assert flawed.tolist() == [0.0 - 2, 0.0 - 1]


@pytest.mark.parametrize("penalty", ["kl", "reward"])
def test_each_loss_reaches_its_own_network(penalty: Any, make_brac: Any, transitions: Any) -> None:
    loss = make_brac(penalty=penalty, value_penalty=penalty == "kl")
    params = {
        "loss_actor": loss.actor_network_params,
        "loss_qvalue": loss.qvalue_network_params,
        "loss_behaviour": loss.behaviour.actor_network_params,
    }
    leaves = {name: [leaf for leaf in own.values(True, True) if leaf.requires_grad] for name, own in params.items()}
    outs = loss(transitions(*ROWS)).update(loss.behaviour.fit(transitions(*ROWS)))
    for name in params:
        for other, those in leaves.items():
            found = torch.autograd.grad(outs[name], those, retain_graph=True, allow_unused=True)
            assert any(each is not None and bool(each.any()) for each in found) == (name == other)


def test_a_weight_of_zero_is_no_penalty_and_the_actor_feels_another(make_brac: Any, transitions: Any) -> None:
    found = {}
    for weight in (0.0, 2.0):
        loss = make_brac(penalty_weight=weight)
        torch.manual_seed(0)
        out = loss(transitions(*ROWS))
        found[weight] = out.detach()
    torch.testing.assert_close(found[0.0]["loss_actor"], -found[0.0]["actor_qvalue"])
    torch.testing.assert_close(found[2.0]["loss_actor"], found[2.0]["penalty"] - found[2.0]["actor_qvalue"])
    assert found[2.0]["penalty"] != 0
    torch.testing.assert_close(found[0.0]["target_value"], found[2.0]["target_value"])


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("penalty", ["kl", "reward"])
def test_shapes_and_ends(rows: int, penalty: Any, make_brac: Any, transitions: Any) -> None:
    loss = make_brac(penalty=penalty, value_penalty=penalty == "kl", reduction="none")
    batch = transitions(*["terminal"] * rows)
    out = loss(batch)
    assert out.batch_size == (rows,)
    batch["next", "observation"] += 1
    torch.testing.assert_close(loss(batch)["target_value"], out["target_value"])


def test_the_model_has_parameters_of_its_own(networks: Any) -> None:
    actor, critics = networks()
    with pytest.raises(ValueError, match="the actor itself"):
        BRACLoss(actor, actor, critics)
