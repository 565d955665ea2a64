"""Returns and advantages along episodes that stand one behind the other, by TorchRL."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torchrl.objectives.value.functional import vec_generalized_advantage_estimate, vec_td_lambda_return_estimate

from awac_tr.keys import DONE, REWARD, TERMINATED

__all__ = ["gae_advantages", "td_lambda_returns", "whitened"]


def td_lambda_returns(rows: TensorDictBase, next_value: Tensor, *, gamma: float, lmbda: float) -> Tensor:
    """R_t = r_t + gamma ((1 - lambda) V(s_{t+1}) + lambda R_{t+1}); where an episode ends, r_t + gamma V(s_{t+1}).

    Beyond a terminated row V counts as 0; beyond a cut one (``done`` alone) as it is. The last row counts as cut.

    Args:
        rows: transitions [T] of whole episodes, each in order.
        next_value: V(s_{t+1}), [T, 1].
        gamma: discount, in [0, 1].
        lmbda: lambda, in [0, 1].

    Returns:
        [T, 1], without gradient.
    """
    with torch.no_grad():
        reward, done = rows.get(REWARD), rows.get(DONE)
        returns: Tensor = vec_td_lambda_return_estimate(
            gamma, lmbda, next_value, reward, done=done, terminated=rows.get(TERMINATED)
        )
    return returns


def gae_advantages(rows: TensorDictBase, value: Tensor, next_value: Tensor, *, gamma: float, lmbda: float) -> Tensor:
    """A_t = delta_t + gamma lambda A_{t+1}, with delta_t = r_t + gamma V(s_{t+1}) - V(s_t), within an episode.

    Args:
        rows: as of :func:`td_lambda_returns`.
        value: V(s_t), [T, 1].
        next_value: V(s_{t+1}), [T, 1]; of a terminated row it counts as 0.
        gamma: discount, in [0, 1].
        lmbda: lambda, in [0, 1].

    Returns:
        [T, 1], without gradient.
    """
    with torch.no_grad():
        advantage: Tensor = vec_generalized_advantage_estimate(
            gamma, lmbda, value, next_value, rows.get(REWARD), done=rows.get(DONE), terminated=rows.get(TERMINATED)
        )[0]
    return advantage


def whitened(values: Tensor, epsilon: float) -> Tensor:
    """(x - mean) / (population deviation + epsilon)."""
    return (values - values.mean()) / (values.std(unbiased=False) + epsilon)
