"""Z(s), lambda by dual descent, and the direction of the projection: numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchrl.modules.distributions import IndependentNormal
from torchrl.objectives import SoftUpdate, ValueEstimators

from awac_tr.objectives.awac import AWACLoss
from awac_tr.objectives.behaviour_awac import BehaviourAWACLoss, gaussian_kl, log_partition
from awac_tr.objectives.weights import exp_weights, softmax_weights

ROWS = ("ordinary", "terminal", "truncated")


@pytest.fixture
def make(networks: Callable[..., tuple[Any, list[Any]]]) -> Callable[..., BehaviourAWACLoss]:
    def build(**options: Any) -> BehaviourAWACLoss:
        actor, critics = networks()
        behaviour, _ = networks()
        for parameter in behaviour.parameters():
            parameter.data.mul_(0.5)
        loss = BehaviourAWACLoss(actor, behaviour, critics, **{"temperature": 0.3} | options)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=0.75)
        SoftUpdate(loss, tau=0.5)
        return loss

    return build


def test_partition_and_weights_of_the_sheet() -> None:
    """A_k (.5, -.5, 1) and (-2, -1, 0), lambda .3; data A (.2, -.5)."""
    log_z = log_partition(torch.tensor([[0.5, -2.0], [-0.5, -1.0], [1.0, 0.0]]), 0.3)
    np.testing.assert_allclose(log_z, [2.413381, -1.062332], atol=1e-6)
    advantage = torch.tensor([0.2, -0.5])
    np.testing.assert_allclose(exp_weights(advantage, 0.3), [1.947734, 0.188876], atol=1e-6)
    np.testing.assert_allclose(exp_weights(advantage - 0.3 * log_z, 0.3), [0.174346, 0.546438], atol=1e-6)
    expected = 2 * torch.softmax(advantage / 0.3 - log_z, 0)
    torch.testing.assert_close(softmax_weights(advantage - 0.3 * log_z, 0.3), expected)


def test_each_z_is_of_one_state(make: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """K 2, B 3: values 0 to 5 in the order of the samples belong to rows (0, 3), (1, 4), (2, 5)."""
    loss, batch = make(partition_samples=2, temperature=1.0), transitions(*ROWS)
    values = torch.arange(6.0, dtype=torch.float64).reshape(2, 3, 1)
    monkeypatch.setattr(loss, "_qvalues", lambda *_, **__: (values.expand(2, 2, 3, 1),))
    weighed, said = loss._weighed(loss._batch(batch), torch.zeros(3).double(), torch.zeros(3, 1).double())
    expected = [math.log((math.exp(row) + math.exp(row + 3)) / 2) for row in range(3)]
    np.testing.assert_allclose(-weighed, expected, atol=1e-12)
    assert float(said["log_partition"]) == pytest.approx(np.mean(expected))


def test_many_samples_give_weights_of_mean_one_under_the_model(make: Any, transitions: Any) -> None:
    """E_{a ~ pi_b} exp(A / lambda) / Z(s) is 1 in every state."""
    loss, batch = make(partition_samples=4000, temperature=2.0), transitions("ordinary")
    states = batch.expand(4000).clone()
    torch.manual_seed(0)
    states["action"] = loss.behaviour.distribution(loss._batch(states)).sample()
    with torch.no_grad():
        value = torch.zeros(4000, 1).double()
        advantage = (loss._clamped_min(loss._qvalues(loss._critics(), loss._batch(states))[0]) - value).squeeze(-1)
        one = loss._batch(batch)
        log_z = log_partition(loss._advantages_of_model(one, value[:1]), 2.0)
    assert float(exp_weights(advantage - 2.0 * log_z, 2.0).mean()) == pytest.approx(1, abs=0.05)


def test_the_temperature_of_the_sheet(make: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """lambda 1, KL .3, epsilon .1: loss -.2, gradient -.2, and after the first step lambda is 1.000300."""
    loss, batch = make(target_kl=0.1, temperature=1.0), transitions("ordinary", "terminal")
    monkeypatch.setattr("awac_tr.objectives.behaviour_awac.gaussian_kl", lambda *_: torch.full((2,), 0.3).double())
    optimizer = torch.optim.Adam([loss.log_temperature], lr=3e-4)
    out = loss(batch)
    assert out["loss_temperature"].item() == pytest.approx(-0.2)
    assert float(out["temperature"]) == 1
    out["loss_temperature"].backward()
    assert float(loss.log_temperature.grad) == pytest.approx(-0.2)
    optimizer.step()
    assert float(loss.weighing_temperature()) == pytest.approx(1.0003, abs=1e-7)


def test_kl_is_that_of_gaussians_and_leads_to_epsilon() -> None:
    """Two actions, A (0, 1), uniform pi_b: KL .543277 at lambda .3, .110944 at 1, .1 at 1.059947."""
    one, other = (
        IndependentNormal(torch.tensor([[mean]]), torch.tensor([[std]])) for mean, std in ((0.1, 0.2), (0.0, 0.3))
    )
    assert float(gaussian_kl(one, other)) == pytest.approx(0.1832429, abs=1e-6)

    def kl(temperature: float) -> float:
        share = 1 / (1 + math.exp(-1 / temperature))
        return share * math.log(2 * share) + (1 - share) * math.log(2 * (1 - share))

    assert [round(kl(value), 6) for value in (0.3, 1.0, 3.0)] == [0.543277, 0.110944, 0.013698]
    log_temperature = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([log_temperature], lr=1e-2)
    for _ in range(600):
        optimizer.zero_grad()
        (-log_temperature.exp() * (kl(float(log_temperature.detach().exp())) - 0.1)).backward()
        optimizer.step()
    assert float(log_temperature.detach().exp()) == pytest.approx(1.059947, abs=1e-3)


def test_without_its_parts_it_is_awac(make: Any, networks: Any, transitions: Any) -> None:
    actor, critics = networks()
    plain = AWACLoss(actor, critics, temperature=0.3)
    plain.make_value_estimator(ValueEstimators.TD0, gamma=0.75)
    SoftUpdate(plain, tau=0.5)
    found = []
    for loss in (plain, make()):
        torch.manual_seed(0)
        found.append(loss(transitions(*ROWS)))
    assert set(found[0].keys()) == set(found[1].keys())
    for key, value in found[0].items():
        torch.testing.assert_close(value, found[1][key])


def test_each_loss_reaches_its_own_parameters(make: Any, transitions: Any) -> None:
    loss, batch = make(partition_samples=3, target_kl=0.1), transitions(*ROWS)
    own = {
        "loss_actor": "actor_network_params",
        "loss_qvalue": "qvalue_network_params",
        "loss_temperature": "log_temperature",
    }
    for name, prefix in own.items():
        loss.zero_grad()
        loss(batch)[name].backward()
        reached = {key for key, value in loss.named_parameters() if value.grad is not None and value.grad.any()}
        assert reached, name
        assert all(key.startswith(prefix) for key in reached), (name, reached)


def test_the_projection_the_other_way_is_the_actor_of_brac() -> None:
    """KL(pi || pi*) of Eq. 16, on a grid: lambda times it is BRAC's loss with weight lambda, and lambda log Z more."""
    grid = torch.linspace(-3, 3, 20_001, dtype=torch.float64)
    step, temperature = grid[1] - grid[0], 0.7
    model = torch.distributions.Normal(torch.tensor(0.2).double(), torch.tensor(0.4).double())
    qvalue = -((grid - 0.8) ** 2)
    optimum = model.log_prob(grid) + qvalue / temperature
    log_z = torch.logsumexp(optimum + step.log(), 0)
    differences = []
    for mean, std in ((0.0, 0.3), (0.5, 0.2)):
        policy = torch.distributions.Normal(torch.tensor(mean).double(), torch.tensor(std).double())
        density = policy.log_prob(grid)
        reverse = (density.exp() * (density - optimum + log_z)).sum() * step
        brac = (density.exp() * (temperature * (density - model.log_prob(grid)) - qvalue)).sum() * step
        differences.append(float(temperature * reverse - brac))
    np.testing.assert_allclose(differences, float(temperature * log_z), atol=1e-6)


@pytest.mark.parametrize("options", [{"partition_samples": -1}, {"target_kl": 0.0}])
def test_options_without_sense_are_refused(options: dict[str, Any], make: Any) -> None:
    with pytest.raises(ValueError, match=r"partition_samples|target_kl"):
        make(**options)
