"""From advantages to the weights of weighted maximum likelihood: pure functions, no constant hidden in any.

Both schemes come from the factor exp(A / lambda) / Z(s) of Eq. 10; they differ in what stands for Z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import Tensor

__all__ = [
    "WEIGHTS",
    "Coefficient",
    "capped",
    "effective_sample_size",
    "exp_weights",
    "indicator_weights",
    "sign_weights",
    "softmax_weights",
    "weight_diagnostics",
]

Coefficient: TypeAlias = float | Tensor
"""A number, or a tensor of one: the latter may change between the calls of a compiled function."""


def exp_weights(
    advantage: Tensor,
    temperature: Coefficient,
    *,
    advantage_max: Coefficient = math.inf,
    weight_max: Coefficient = math.inf,
) -> Tensor:
    """Weights w = exp(A / temperature), Eq. 10 with Z(s) dropped (A.3).

    Without a cap nothing keeps the weight from overflowing where A / temperature exceeds 88.7 in float32.

    Args:
        advantage: A, any shape, in units of return.
        temperature: lambda of Eq. 10, divides A; above 0, in units of return.
        advantage_max: A is cut from above here first; inf: not cut.
        weight_max: w is cut from above here last; inf: not cut.

    Returns:
        Weights of the advantage's shape, not negative.

    Examples:
        >>> exp_weights(torch.tensor([0.0, 0.3, 30.0]), 0.3, advantage_max=0.6)
        tensor([1.0000, 2.7183, 7.3891])
    """
    return torch.exp(advantage.clamp_max(advantage_max) / temperature).clamp_max(weight_max)


def softmax_weights(
    advantage: Tensor,
    temperature: Coefficient,
    *,
    advantage_max: Coefficient = math.inf,
    weight_max: Coefficient = math.inf,
) -> Tensor:
    """Weights w = B * softmax(A / temperature) over all B entries: Z as estimated by the batch (the authors' code).

    The mean weight is 1 before a cap.

    Args:
        advantage: A, any shape, in units of return.
        temperature: lambda of Eq. 10, divides A; above 0, in units of return.
        advantage_max: A is cut from above here first (the authors' hand tasks: 0.5); inf: not cut.
        weight_max: w is cut from above here last; inf: not cut.

    Returns:
        Weights of the advantage's shape, in [0, B].

    Examples:
        >>> softmax_weights(torch.tensor([0.0, 0.0, 0.0]), 0.5)
        tensor([1., 1., 1.])
    """
    scaled = advantage.clamp_max(advantage_max) / temperature
    weights = torch.softmax(scaled.flatten(), 0).reshape(scaled.shape) * scaled.numel()
    return weights.clamp_max(weight_max)


def indicator_weights(advantage: Tensor) -> Tensor:
    """Weights w = 1[A > 0]: which actions are better than the policy (ABM, Siegel et al. 2020; A.4 of the paper).

    Args:
        advantage: A, any shape; at 0 the weight is 0.

    Examples:
        >>> indicator_weights(torch.tensor([0.3, -0.1, 0.0, 1.2]))
        tensor([1., 0., 0., 1.])
    """
    return (advantage > 0).to(advantage.dtype)


def sign_weights(advantage: Tensor, temperature: Coefficient, **caps: Coefficient) -> Tensor:
    """Weights w = B * softmax(sign(A) / temperature) over all B entries (a variant in the authors' code).

    Args:
        advantage: A, any shape.
        temperature: divides the sign; above 0.
        **caps: ``weight_max`` as of :func:`softmax_weights`; one on the advantage above 1 has no effect.

    Examples:
        >>> sign_weights(torch.tensor([0.3, -0.1, 0.0, 1.2]), 0.5)
        tensor([1.8573, 0.0340, 0.2514, 1.8573])
    """
    return softmax_weights(advantage.sign(), temperature, **caps)


def capped(
    advantage: Tensor,
    weights: Tensor,
    *,
    advantage_max: Coefficient = math.inf,
    weight_max: Coefficient = math.inf,
) -> Tensor:
    """Which samples a cap has reached: bool, of the advantage's shape; all False without caps.

    Args:
        advantage: A as given to the weight function.
        weights: what that function returned with the same caps.
        advantage_max: as given to it.
        weight_max: as given to it.
    """
    # a weight that overflowed is at no cap where there is none
    return (advantage > advantage_max) | ((weights >= weight_max) & (weight_max < math.inf))


def effective_sample_size(weights: Tensor) -> Tensor:
    """Kish's (sum w)^2 / sum w^2: how many equally weighted samples this batch is worth.

    Args:
        weights: any shape, not negative.

    Returns:
        A scalar in [1, number of weights]; 0 if all weights are 0, NaN if one is infinite.

    Examples:
        >>> effective_sample_size(torch.tensor([1.0, 1.0, 0.0, 0.0]))
        tensor(2.)
    """
    # divided by the largest first: squares of large weights overflow
    share = weights / weights.max().clamp_min(torch.finfo(weights.dtype).tiny)
    return share.sum().square() / share.square().sum().clamp_min(torch.finfo(weights.dtype).tiny)


def weight_diagnostics(
    advantage: Tensor,
    weights: Tensor,
    *,
    advantage_max: Coefficient = math.inf,
    weight_max: Coefficient = math.inf,
) -> dict[str, Tensor]:
    """What to watch in a run, scalars: do a few samples, or a cap, decide the update?

    Args:
        advantage: A as given to the weight function.
        weights: what that function returned with the same caps.
        advantage_max: as given to it.
        weight_max: as given to it.

    Returns:
        ``effective_sample_size`` (in samples), ``capped_fraction`` (in [0, 1]) and ``weight_max`` (the largest weight).
    """
    hit = capped(advantage, weights, advantage_max=advantage_max, weight_max=weight_max)
    return {
        "effective_sample_size": effective_sample_size(weights),
        "capped_fraction": hit.to(weights.dtype).mean(),
        "weight_max": weights.max(),
    }


WEIGHTS: Final[dict[str, Callable[..., Tensor]]] = {"exp": exp_weights, "softmax": softmax_weights}
"""The schemes by the names that recipes use."""
