"""BEAR: the discrepancy, the target, the actor and the multiplier of the sheet, and which loss reaches what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchrl.modules.distributions import IndependentNormal
from torchrl.objectives import SoftUpdate, ValueEstimators

from awac_tr.models.cvae import build_cvae
from awac_tr.objectives import BEARLoss
from awac_tr.objectives.bear import mean_discrepancy

X = torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, -0.5]], dtype=torch.float64)
Y = torch.tensor([[0.0, 1.0], [0.25, 0.25], [-1.0, 0.0]], dtype=torch.float64)


@pytest.fixture
def make_bear(networks: Callable[..., tuple[Any, list[Any]]]) -> Callable[..., BEARLoss]:
    def build(**options: Any) -> BEARLoss:
        actor, critics = networks(distribution="tanh_normal", std="dependent")
        loss = BEARLoss(actor, build_cvae(3, 2, (7, 6)).double(), critics, **{"samples": 4, "warm_start": 0} | options)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=0.75)
        SoftUpdate(loss, tau=0.5)
        return loss

    return build


@pytest.mark.parametrize(
    ("kernel", "bandwidth", "expected"),
    [
        ("laplacian", 10, 0.2293928),
        ("laplacian", 20, 0.1644084),
        ("laplacian", 50, 0.1048374),
        ("gaussian", 10, 0.2873061),
        ("gaussian", 20, 0.2077149),
        ("gaussian", 50, 0.1331592),
    ],
)
def test_discrepancies_of_the_sheet(kernel: Any, bandwidth: float, expected: float) -> None:
    assert float(mean_discrepancy(X, Y, kernel, bandwidth)) == pytest.approx(expected, abs=1e-7)
    assert float(mean_discrepancy(X, X, kernel, bandwidth)) == pytest.approx(0.001, abs=1e-9)


def test_each_state_has_a_discrepancy_of_its_own() -> None:
    stacked = mean_discrepancy(torch.stack([X, X], 1), torch.stack([Y, X], 1), "laplacian", 10.0)
    np.testing.assert_allclose(stacked, [0.2293928, 0.001], atol=1e-7)


def number(value: torch.Tensor) -> float:
    return value.detach().item()


def with_constants(monkeypatch: pytest.MonkeyPatch, loss: BEARLoss, discrepancy: float, qvalue: float) -> None:
    monkeypatch.setattr(
        "awac_tr.objectives.bear.mean_discrepancy",
        lambda raw, *_: raw.sum((0, -1)) * 0 + discrepancy,
    )
    monkeypatch.setattr(loss, "_qvalues", lambda _, states: (torch.full((2, *states.batch_size, 1), qvalue).double(),))


def test_actor_and_multiplier_of_the_sheet(make_bear: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """MMD .08, epsilon .05, rho 0, Q -10: 10.03 after the warm start, .03 within it, and rho rises by .001."""
    loss, batch = make_bear(warm_start=3), transitions("ordinary", "terminal")
    with_constants(monkeypatch, loss, 0.08, -10.0)
    assert number(loss.actor_losses(batch)["loss_actor"]) == pytest.approx(0.03, abs=1e-6)
    loss.updates += 3
    out = loss.actor_losses(batch)
    assert number(out["loss_actor"]) == pytest.approx(10.03, abs=1e-6)
    optimizer = torch.optim.Adam([loss.log_multiplier], lr=1e-3)
    out["loss_multiplier"].backward()
    optimizer.step()
    assert number(loss.log_multiplier) == pytest.approx(0.001, abs=1e-7)


def test_the_later_threshold_begins_at_its_update(make_bear: Any, transitions: Any) -> None:
    loss, batch = make_bear(threshold=0.05, late_threshold=0.15, late_from=2), transitions("ordinary")
    found = []
    for _ in range(4):
        found.append(round(float(loss.actor_losses(batch)["threshold"]), 6))
        loss.updates += 1
    assert found == [0.05, 0.05, 0.15, 0.15]


def test_actions_are_compared_before_their_tanh(make_bear: Any, transitions: Any) -> None:
    loss, batch = make_bear(samples=5), transitions("ordinary", "ordinary")
    seen: list[torch.Tensor] = []
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        note = lambda x, y, *_: seen.extend([x, y]) or x.sum((0, -1))  # noqa: E731
        patch.setattr("awac_tr.objectives.bear.mean_discrepancy", note)
        loss.actor_losses(batch)
    torch.manual_seed(0)
    (policy,) = loss._policies(batch)
    expected = policy.base_dist.rsample((5,))
    assert torch.equal(seen[0], expected)
    assert float(seen[0].detach().abs().max()) > 1
    modelled, actions = loss.cvae.sample(batch, 5)
    assert torch.equal(seen[1], modelled)
    assert torch.equal(actions, torch.tanh(modelled))


def test_target_takes_the_best_of_the_mixed_values(
    make_bear: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, batch = make_bear(next_samples=3), transitions("ordinary", "terminal", "truncated")
    actions = torch.tanh(torch.randn(3, 3, 2, dtype=torch.float64))
    monkeypatch.setattr(loss, "next_actions", lambda *_: actions)
    values = []
    for each in actions:
        q = loss._target_qvalues(batch["next"], each).detach().squeeze(-1)
        values.append(0.75 * q.min(0)[0] + 0.25 * q.max(0)[0])
    best = torch.stack(values).max(0)[0]
    live = (~batch["next", "terminated"]).double().squeeze(-1)
    target = batch["next", "reward"].squeeze(-1) + 0.75 * live * best
    out = loss.critic_losses(batch)
    assert float(out["target_value"]) == pytest.approx(float(target.mean()), abs=1e-9)
    q = loss._qvalues(loss.qvalue_network_params, batch)[0].squeeze(-1)
    assert number(out["loss_qvalue"]) == pytest.approx(number((q - target).square().sum(0).mean()), abs=1e-9)


def test_targets_come_from_the_target_critics_at_so_many_actions(make_bear: Any, transitions: Any) -> None:
    loss, batch = make_bear(next_samples=3), transitions("ordinary", "truncated")
    (policy,) = loss._policies(batch["next"])
    assert loss.next_actions(batch["next"], policy).shape == (3, 2, 2)
    torch.manual_seed(0)
    before = float(loss.critic_losses(batch)["target_value"])
    for key, leaf in loss.qvalue_network_params.items(include_nested=True, leaves_only=True):
        if leaf.requires_grad:
            loss.target_qvalue_network_params.get(key).data.zero_()
    torch.manual_seed(0)
    after = float(loss.critic_losses(batch)["target_value"])
    assert after == pytest.approx(float(batch["next", "reward"].mean()), abs=1e-9)
    assert before != pytest.approx(after)


def test_the_actor_climbs_the_lowest_critic(make_bear: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Q_1 = a_1 + a_2 and Q_2 = Q_1 + 4: the loss is -Q_1 without discrepancy, and its gradient is that of -Q_1."""
    loss, batch = make_bear(threshold=0.08), transitions("ordinary", "terminal")
    with_constants(monkeypatch, loss, 0.08, 0.0)
    seen: list[torch.Tensor] = []

    def qvalues(_: Any, states: Any) -> tuple[torch.Tensor]:
        seen.append(states["action"].sum(-1, keepdim=True))
        return (torch.stack([seen[-1], seen[-1] + 4]),)

    monkeypatch.setattr(loss, "_qvalues", qvalues)
    parameters = [leaf for leaf in loss.actor_network_params.values(True, True) if leaf.requires_grad]
    found = loss.actor_losses(batch)["loss_actor"]
    expected = -seen[0].mean()
    assert number(found) == pytest.approx(number(expected), abs=1e-6)
    gradients = torch.autograd.grad(found, parameters, retain_graph=True)
    wanted = torch.autograd.grad(expected, parameters)
    assert any(bool(each.abs().max() > 0) for each in wanted)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_the_multiplier_climbs_the_mean_excess(
    make_bear: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in (("ordinary",), ("ordinary", "terminal", "truncated")):
        loss = make_bear(threshold=0.05)
        with_constants(monkeypatch, loss, 0.08, 0.0)
        assert number(loss.actor_losses(transitions(*rows))["loss_multiplier"]) == pytest.approx(-0.03, abs=1e-6)


def test_each_loss_reaches_its_own_parameters(make_bear: Any, transitions: Any) -> None:
    loss, batch = make_bear(), transitions("ordinary", "terminal")
    own = {
        "loss_cvae": "cvae.",
        "loss_qvalue": "qvalue_network_params",
        "loss_actor": "actor_network_params",
        "loss_multiplier": "log_multiplier",
    }
    for name, prefix in own.items():
        loss.zero_grad()
        loss(batch)[name].backward()
        reached = {key for key, value in loss.named_parameters() if value.grad is not None and value.grad.any()}
        assert reached, name
        assert all(key.startswith(prefix) for key in reached), (name, reached)


@pytest.mark.parametrize("rows", [("ordinary",), ("ordinary", "terminal")])
def test_batches_of_one_and_two(rows: tuple[str, ...], make_bear: Any, transitions: Any) -> None:
    out = make_bear()(transitions(*rows))
    assert all(value.shape == () and bool(torch.isfinite(value)) for value in out.values())


def test_a_policy_that_is_not_squashed_is_refused(networks: Any, transitions: Any) -> None:
    actor, critics = networks()
    loss = BEARLoss(actor, build_cvae(3, 2, (7, 6)).double(), critics)
    assert isinstance(actor.get_dist(transitions("ordinary")), IndependentNormal)
    with pytest.raises(TypeError, match="before their tanh"):
        loss.actor_losses(transitions("ordinary"))


@pytest.mark.parametrize("options", [{"kernel": "cubic"}, {"bandwidth": 0}, {"samples": 0}, {"minimum_weight": 2}])
def test_options_without_sense_are_refused(options: dict[str, Any], make_bear: Any) -> None:
    with pytest.raises(ValueError, match=r"kernel|bandwidth|samples|minimum_weight"):
        make_bear(**options)
