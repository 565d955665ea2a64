"""The model of the behaviour: maximum likelihood, and Figure 2.4 in small."""

from __future__ import annotations

import math

import pytest
import torch
from tensordict import TensorDict

from awac_tr.models.build import build_policy
from awac_tr.objectives import BehaviourModel
from awac_tr.recipes.schema import PolicySection


def rows(share: float, size: int = 1000) -> tuple[TensorDict, TensorDict]:
    """Offline N(-.5, .1^2) and online N(.5, .1^2) actions, the quantiles instead of draws; a buffer of both."""
    middle = (torch.arange(size) + 0.5) / size
    spread = 0.1 * math.sqrt(2) * torch.erfinv(2 * middle - 1)
    spread = (0.1 / spread.square().mean().sqrt() * spread).unsqueeze(1)
    made = [TensorDict({"observation": torch.ones(size, 1), "action": mean + spread}, [size]) for mean in (-0.5, 0.5)]
    if share == 0:
        return made[0], made[0]
    every = round(1 / share)  # so many rows in all for one online row
    return made[0], torch.cat([made[0]] * (every - 1) + [made[1]])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.883647), (0.1, -0.267646), (0.5, -0.745402)])
def test_fitted_likelihood_falls_with_online_data(share: float, expected: float) -> None:
    torch.manual_seed(0)
    model = BehaviourModel(build_policy(PolicySection(hidden_sizes=(8,)), 1, 1))
    optimizer = torch.optim.Adam(model.parameters(), 3e-2)
    offline, buffer = rows(share)
    for _ in range(1500):
        optimizer.zero_grad()
        out = model.fit(buffer)
        out["loss_behaviour"].backward()
        optimizer.step()
    assert float(out["behaviour_log_prob"]) == pytest.approx(expected, abs=0.01)
    if share == 0:
        other = offline.clone().set("action", offline["action"] + 1)
        assert float(model.likelihood(other, other["action"]).mean()) == pytest.approx(-49.116353, rel=0.03)


def test_no_gradient_reaches_the_model_through_its_likelihood() -> None:
    model = BehaviourModel(build_policy(PolicySection(hidden_sizes=(8,)), 1, 1))
    action = torch.zeros(3, 1, requires_grad=True)
    model.likelihood(TensorDict({"observation": torch.randn(3, 1)}, [3]), action).sum().backward()
    assert action.grad is not None
    assert all(parameter.grad is None for parameter in model.parameters())
