"""Conjugate gradients, the Fisher matrix of a Gaussian, and the step of the worked example, with and without demos."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from awac_tr.objectives.natural_gradient import conjugate_gradient, fisher_product, flat, natural_step
from awac_tr.objectives.returns import whitened

ACTIONS = torch.tensor([0.5, -0.25, 1.0], dtype=torch.float64)
ADVANTAGES = torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)


def number(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value, dtype=torch.float64))


@pytest.fixture
def gaussian() -> tuple[nn.Parameter, nn.Parameter]:
    """N(0, .5^2) by (mu, log sigma)."""
    return number(0.0), number(float(np.log(0.5)))


def of(parameters: tuple[nn.Parameter, nn.Parameter], rows: int = 3) -> tuple[Tensor, Tensor]:
    mean, log_std = parameters
    return mean.expand(rows, 1), log_std.exp().expand(rows, 1)


def gradient(parameters: tuple[nn.Parameter, nn.Parameter], demonstration: float | None = None) -> Tensor:
    """Of the surrogate: whitened advantages, and a demonstration of weight .01 * .95^10; sums over N fresh ones."""
    mean, std = of(parameters)
    terms = whitened(ADVANTAGES, 1e-6) * Normal(mean[:, 0], std[:, 0]).log_prob(ACTIONS)
    total = terms.sum()
    if demonstration is not None:
        shown = Normal(mean[0, 0], std[0, 0]).log_prob(torch.tensor(demonstration, dtype=torch.float64))
        total = total + 0.01 * 0.95**10 * shown
    return flat(torch.autograd.grad(total / len(ACTIONS), parameters))


def test_the_worked_example(gaussian: tuple[nn.Parameter, nn.Parameter]) -> None:
    g = gradient(gaussian)
    np.testing.assert_allclose(g, (2.049001, 1.403120), atol=2e-6)
    product = fisher_product(lambda: of(gaussian), gaussian, damping=0.0)
    np.testing.assert_allclose(
        torch.stack([product(row) for row in torch.eye(2, dtype=torch.float64)]), np.diag([4, 2])
    )
    x = conjugate_gradient(product, g)
    np.testing.assert_allclose(x, (0.512250, 0.701560), atol=2e-6)
    step = natural_step(x, g, 0.05)
    np.testing.assert_allclose(step, (0.080315, 0.109996), atol=1e-6)
    old = Normal(torch.tensor(0.0), torch.tensor(0.5))
    new = Normal(step[0], 0.5 * step[1].exp())
    assert float(kl_divergence(old, new)) == pytest.approx(0.0216119, abs=1e-6)


def test_with_a_demonstration(gaussian: tuple[nn.Parameter, nn.Parameter]) -> None:
    g = 1e-2 * gradient(gaussian, demonstration=0.8)
    np.testing.assert_allclose(g, (0.020554, 0.014062), atol=1e-6)
    product = fisher_product(lambda: of(gaussian), gaussian, damping=0.0)
    for scale in (1.0, 100.0):
        step = natural_step(conjugate_gradient(product, scale * g, tolerance=1e-20), scale * g, 0.05)
        np.testing.assert_allclose(step, (0.080349, 0.109945), atol=1e-6)


def test_conjugate_gradients_solve_and_stop() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, dtype=torch.float64, generator=generator)
    matrix, target = root @ root.T + torch.eye(6), torch.randn(6, dtype=torch.float64, generator=generator)
    asked: list[int] = []

    def product(vector: Tensor) -> Tensor:
        asked.append(1)
        return matrix @ vector

    np.testing.assert_allclose(conjugate_gradient(product, target), torch.linalg.solve(matrix, target), rtol=1e-4)
    asked.clear()
    conjugate_gradient(product, target, iterations=3)
    assert len(asked) == 3
    asked.clear()
    assert not conjugate_gradient(product, torch.zeros(6, dtype=torch.float64)).any()
    assert not asked


def test_the_fisher_matrix_of_a_network_is_the_hessian_of_the_kl() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    log_std = nn.Parameter(torch.tensor([-1.0, 0.3], dtype=torch.float64))
    parameters, states = [*net.parameters(), log_std], torch.randn(7, 3, dtype=torch.float64)

    def policy() -> tuple[Tensor, Tensor]:
        mean = net(states)
        return mean, log_std.exp().expand_as(mean)

    vector = torch.randn(sum(each.numel() for each in parameters), dtype=torch.float64)
    found = vector @ fisher_product(policy, parameters, damping=0.1)(vector)
    mean, std = (value.detach() for value in policy())
    sizes = [each.numel() for each in parameters]
    epsilon = 1e-4
    with torch.no_grad():
        for each, part in zip(parameters, vector.split(sizes), strict=True):
            each.add_(epsilon * part.view_as(each))
        moved = policy()
    divergence = kl_divergence(Normal(mean, std), Normal(*moved)).sum(-1).mean()
    assert float(found) == pytest.approx(float(2 * divergence / epsilon**2 + 0.1 * vector @ vector), rel=1e-3)
