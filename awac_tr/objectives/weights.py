"""From advantages to the weights of weighted maximum likelihood: pure functions, no constant hidden in any.

Both schemes come from the factor exp(A / lambda) / Z(s) of Eq. 10; they differ in what stands for Z.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

__all__ = ["WEIGHTS", "capped", "effective_sample_size", "exp_weights", "softmax_weights", "weight_diagnostics"]


def exp_weights(
    advantage: Tensor, lmbda: float, *, advantage_max: float | None = None, weight_max: float | None = None
) -> Tensor:
    """Weights w = exp(A / lmbda), Eq. 10 with Z(s) dropped (A.3).

    Without a cap nothing keeps the weight from overflowing where A / lmbda exceeds 88.7 in float32.

    Args:
        advantage: A, any shape, in units of return.
        lmbda: lambda of Eq. 10, above 0, in units of return.
        advantage_max: A is cut from above here first; None: not cut.
        weight_max: w is cut from above here last; None: not cut.

    Returns:
        Weights of the advantage's shape, not negative.

    Examples:
        >>> exp_weights(torch.tensor([0.0, 0.3, 30.0]), 0.3, advantage_max=0.6)
        tensor([1.0000, 2.7183, 7.3891])
    """
    return _cut(torch.exp(_cut(advantage, advantage_max) / lmbda), weight_max)


def softmax_weights(
    advantage: Tensor, lmbda: float, *, advantage_max: float | None = None, weight_max: float | None = None
) -> Tensor:
    """Weights w = B * softmax(A / lmbda) over all B entries: Z as estimated by the batch (the authors' code).

    The mean weight is 1 before a cap.

    Args:
        advantage: A, any shape, in units of return.
        lmbda: lambda of Eq. 10, above 0, in units of return.
        advantage_max: A is cut from above here first (the authors' hand tasks: 0.5); None: not cut.
        weight_max: w is cut from above here last; None: not cut.

    Returns:
        Weights of the advantage's shape, in [0, B].

    Examples:
        >>> softmax_weights(torch.tensor([0.0, 0.0, 0.0]), 0.5)
        tensor([1., 1., 1.])
    """
    scaled = _cut(advantage, advantage_max) / lmbda
    weights = torch.softmax(scaled.flatten(), 0).reshape(scaled.shape) * scaled.numel()
    return _cut(weights, weight_max)


def capped(
    advantage: Tensor, weights: Tensor, *, advantage_max: float | None = None, weight_max: float | None = None
) -> Tensor:
    """Which samples a cap has reached: bool, of the advantage's shape; all False without caps.

    Args:
        advantage: A as given to the weight function.
        weights: what that function returned with the same caps.
        advantage_max: as given to it.
        weight_max: as given to it.
    """
    hit = torch.zeros_like(advantage, dtype=torch.bool)
    if advantage_max is not None:
        hit = hit | (advantage > advantage_max)
    if weight_max is not None:
        hit = hit | (weights >= weight_max)
    return hit


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
    advantage: Tensor, weights: Tensor, *, advantage_max: float | None = None, weight_max: float | None = None
) -> dict[str, Tensor]:
    """What to watch in a run, scalars: do a few samples, or a cap, decide the update?

    Args:
        advantage: A as given to the weight function.
        weights: what that function returned with the same caps.
        advantage_max: as given to it.
        weight_max: as given to it.

    Returns:
        ``advantage`` (mean before caps), ``effective_sample_size`` (in samples), ``capped_fraction`` (in [0, 1]) and
        ``weight_max`` (the largest weight).
    """
    hit = capped(advantage, weights, advantage_max=advantage_max, weight_max=weight_max)
    return {
        "advantage": advantage.mean(),
        "effective_sample_size": effective_sample_size(weights),
        "capped_fraction": hit.to(weights.dtype).mean(),
        "weight_max": weights.max(),
    }


def _cut(values: Tensor, upper: float | None) -> Tensor:
    return values if upper is None else values.clamp_max(upper)


WEIGHTS: Final[dict[str, Callable[..., Tensor]]] = {"exp": exp_weights, "softmax": softmax_weights}
"""The schemes by the names that recipes use."""
