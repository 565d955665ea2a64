"""A bandit of one state with a fixed critic, where it is known which Gaussian a method ends at.

Q(a) = -(a - .3)^2 / .08, so that exp(Q) is N(.3, .2^2); the data's actions are N(0, .25^2). Products of Gaussians are
Gaussians: precisions add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torchrl.objectives import SoftUpdate

from awac_tr.models.build import Keyed, build_policy
from awac_tr.objectives import ABMLoss, AWACLoss, BRACLoss, MPOLoss, SACLoss
from awac_tr.objectives.weights import indicator_weights
from awac_tr.recipes.schema import PolicySection

ROWS = 512


class Bowl(nn.Module):
    """Q; a parameter that nothing depends on, since a loss asks for one."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        return -((action - 0.3) ** 2) / 0.08 + 0 * self.unused * observation[..., :1]


def critic() -> Keyed:
    return Keyed(Bowl(), ["observation", "action"], ["state_action_value"])


def policy() -> Any:
    return build_policy(PolicySection(hidden_sizes=(8,)), 1, 1)


def data(generator: torch.Generator) -> TensorDict:
    state, never = torch.ones(ROWS, 1), torch.zeros(ROWS, 1, dtype=torch.bool)
    action = 0.25 * torch.randn(ROWS, 1, generator=generator)
    following = {"observation": state, "reward": torch.zeros(ROWS, 1), "terminated": never, "done": never}
    return TensorDict({"observation": state, "action": action, "next": following}, [ROWS])


def learnt(loss: Any, updates: int = 8000, lr: float = 1e-3) -> tuple[float, float]:
    """Mean and deviation of the policy after training by its own loss, averaged over the last quarter."""
    generator = torch.Generator().manual_seed(0)
    SoftUpdate(loss, tau=0.005)
    parameters = [leaf for leaf in loss.actor_network_params.values(True, True) if leaf.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr)
    places = []
    for update in range(updates):
        optimizer.zero_grad(set_to_none=True)
        loss(data(generator))["loss_actor"].backward()
        optimizer.step()
        if update >= 3 * updates // 4 and update % 10 == 0:
            places.append(place_of(loss))
    mean, std = torch.tensor(places).mean(0).tolist()
    return mean, std


@torch.no_grad()
def place_of(loss: Any) -> tuple[float, float]:
    with loss.actor_network_params.to_module(loss.actor_network):
        found = loss.actor_network.get_dist(TensorDict({"observation": torch.ones(1, 1)}, [1]))
    return float(found.mean), float(found.base_dist.scale)


def made(build: Callable[..., Any], *priors: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    return build(policy(), *priors, [critic(), critic()], deactivate_vmap=True, **options)


def gaussian(mean: float, std: float) -> Any:
    """A policy that is this Gaussian: log std is -6 + 6 sigmoid(p)."""
    fixed = policy()
    net = fixed[0].module
    with torch.no_grad():
        net.mlp.last.weight.zero_()
        net.mlp.last.bias.fill_(math.atanh(mean))
        share = (math.log(std) + 6) / 6
        net.std_parameter.fill_(math.log(share / (1 - share)))
    return fixed


@pytest.mark.slow
def test_awac_ends_at_the_product() -> None:
    """Precisions 16 and 25: N(.182927, .156174^2)."""
    mean, std = learnt(made(AWACLoss, temperature=1.0))
    assert mean == pytest.approx(0.182927, abs=0.01)
    assert std == pytest.approx(0.156174, rel=0.05)


@pytest.mark.slow
def test_abm_ends_at_the_product_with_its_prior() -> None:
    """The prior N(.142856, .162701^2), times exp(Q)."""
    mean, std = learnt(made(ABMLoss, gaussian(0.142856, 0.162701), temperature=1.0))
    assert mean == pytest.approx(0.205437, abs=0.01)
    assert std == pytest.approx(0.126213, rel=0.05)


def test_the_prior_of_abm_is_the_better_part_of_the_data() -> None:
    """V under the data -1.90625: actions in (-.090512, .690512), 63.85 %, mean .142856, deviation .162701."""
    action = 0.25 * torch.randn(1_000_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    qvalues = -((action - 0.3) ** 2) / 0.08
    assert float(qvalues.mean()) == pytest.approx(-1.90625, abs=0.01)
    better = action[indicator_weights(qvalues + 1.90625) > 0]
    assert len(better) / len(action) == pytest.approx(0.6385, abs=2e-3)
    assert float(better.mean()) == pytest.approx(0.142856, abs=1e-3)
    assert float(better.std()) == pytest.approx(0.162701, abs=1e-3)


def test_mpo_makes_one_exact_projection() -> None:
    """From N(0, .25^2), beta 1: N(.182927, .156174^2) after one, N(.227273, .123091^2) after two."""
    loss, place = made(MPOLoss, temperature=1.0, samples=200_000), (0.0, 0.25)
    for expected in ((0.182927, 0.156174), (0.227273, 0.123091)):
        actions = place[0] + place[1] * torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
        weights, size = loss._weighted(-((actions - 0.3) ** 2) / 0.08, None)
        mean = float((weights * actions).sum())
        place = mean, float((weights * (actions - mean) ** 2).sum().sqrt())
        assert place == pytest.approx(expected, abs=2e-3)
        if expected[0] < 0.2:
            assert float(size) / 200_000 == pytest.approx(0.568, abs=0.01)


@pytest.mark.slow
def test_mpo_goes_on_to_the_best_action() -> None:
    mean, std = learnt(made(MPOLoss, temperature=1.0), updates=4000)
    assert mean == pytest.approx(0.3, abs=0.01)
    assert std < 0.03


@pytest.mark.slow
def test_undetached_mpo_goes_nowhere() -> None:
    loss = made(MPOLoss, temperature=1.0, detach=False, weighting="batch", samples=1)
    mean, std = learnt(loss, updates=4000)
    assert mean == pytest.approx(0, abs=0.01)
    assert std < 0.01


@pytest.mark.slow
def test_sac_ends_at_exp_q() -> None:
    """alpha 1: N(.3, .2^2)."""
    mean, std = learnt(made(SACLoss, alpha=1.0, tune_alpha=False))
    assert mean == pytest.approx(0.3, abs=0.01)
    assert std == pytest.approx(0.2, rel=0.05)


@pytest.mark.slow
def test_brac_ends_at_the_product() -> None:
    """w 1, a model that is the data's N(0, .25^2): N(.182927, .156174^2), as AWAC."""
    mean, std = learnt(made(BRACLoss, gaussian(1e-9, 0.25), penalty_weight=1.0))
    assert mean == pytest.approx(0.182927, abs=0.01)
    assert std == pytest.approx(0.156174, rel=0.05)
