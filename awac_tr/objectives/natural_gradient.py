"""The natural gradient of a Gaussian policy: the Fisher matrix as a product, conjugate gradients, a step of some KL."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

__all__ = ["conjugate_gradient", "fisher_product", "flat", "natural_step"]

_NOTHING = 1e-20


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All entries in one vector [P]."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def fisher_product(
    policy: Callable[[], tuple[Tensor, Tensor]], parameters: Sequence[Tensor], damping: float
) -> Callable[[Tensor], Tensor]:
    """V [P] -> (F + damping I) v, with F the Hessian of mean_B KL(pi_old || pi) at pi_old, over these parameters.

    Args:
        policy: gives mean and deviation of the actions, [B, n] each, with gradient.
        parameters: that F is over.
        damping: added to the diagonal, at least 0.
    """
    mean, std = policy()
    old = Independent(Normal(mean.detach(), std.detach()), 1)
    divergence = kl_divergence(old, Independent(Normal(mean, std), 1)).mean()
    first = flat(torch.autograd.grad(divergence, parameters, create_graph=True))

    def product(vector: Tensor) -> Tensor:
        second = torch.autograd.grad(first @ vector, parameters, retain_graph=True)
        return flat(second) + damping * vector

    return product


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], target: Tensor, iterations: int = 10, tolerance: float = 1e-10
) -> Tensor:
    """X with A x = target, from x = 0.

    Args:
        product: v -> A v, A symmetric and positive.
        target: [P].
        iterations: at most so many products.
        tolerance: stops where the squared residual is below it.
    """
    x, residual = torch.zeros_like(target), target.clone()
    direction, size = residual.clone(), residual @ residual
    for _ in range(iterations):
        if size < tolerance:
            break
        image = product(direction)
        step = size / (direction @ image)
        x, residual = x + step * direction, residual - step * image
        size, before = residual @ residual, size
        direction = residual + size / before * direction
    return x


def natural_step(direction: Tensor, gradient: Tensor, step_size: float) -> Tensor:
    """sqrt(step_size / |g x|) x: a step along x = F^-1 g whose KL is about step_size / 2.

    Args:
        direction: x, [P].
        gradient: g, [P].
        step_size: twice the wanted KL, above 0.
    """
    return (step_size / ((gradient @ direction).abs() + _NOTHING)).sqrt() * direction
