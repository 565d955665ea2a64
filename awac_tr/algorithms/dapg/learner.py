"""DAPG (Rajeswaran et al., 2018): the networks as its code has them, standardised by the demonstrations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from awac_tr.algorithms.dapg.rounds import DAPGLearner
from awac_tr.errors import RecipeError
from awac_tr.keys import ACTION, OBSERVATION
from awac_tr.models.build import set_observation_statistics
from awac_tr.models.networks import CONSTANT_STD, MLP
from awac_tr.objectives.dapg import DAPGLoss

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential

    from awac_tr.algorithms.dapg.config import DAPGConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["build"]

_LAST_LAYER = 0.01
_TIME_FEATURES = 4


def build(config: DAPGConfig, parts: Parts) -> DAPGLearner:
    """Policy and baseline.

    Raises:
        RecipeError: no demonstrations; or a policy whose deviation cannot be set: ``tanh_normal``, or ``dependent``.
    """
    recipe, demonstrations = parts.recipe, parts.demonstrations
    if demonstrations is None:
        raise RecipeError("dapg learns from demonstrations, and none were given", "name a dataset of source demos.")
    if recipe.policy.std == "dependent" or recipe.policy.distribution != "normal":
        raise RecipeError(
            f"policy: std {recipe.policy.std}, distribution {recipe.policy.distribution}, but DAPG's deviation is one "
            "vector, of a plain Gaussian",
            "write policy.std=independent policy.distribution=normal.",
        )
    policy = parts.policy()
    if parts.initial_policy is None:
        _begin_near(policy, demonstrations, standardize=parts.statistics is not None)
    sizes = recipe.qvalue.hidden_sizes
    baseline = MLP(parts.env.observation_size + _TIME_FEATURES, sizes, 1, recipe.qvalue.activation)
    loss = DAPGLoss(policy, baseline.to(parts.device))
    return DAPGLearner(policy, loss, config, demonstrations, recipe)


@torch.no_grad()
def _begin_near(
    policy: ProbabilisticTensorDictSequential, demonstrations: TensorDictBase, *, standardize: bool
) -> None:
    """Standardise by the demonstrations; the first mean is about theirs, the deviation is theirs."""
    net: Any = policy[0].module
    observation = demonstrations.get(OBSERVATION).double()
    action = demonstrations.get(ACTION).to(net.mlp.last.weight)
    if standardize:
        std = observation.std(0, unbiased=False)
        set_observation_statistics(
            policy, observation.mean(0), torch.where(std < CONSTANT_STD, torch.ones_like(std), std)
        )
    if net.half_width is not None:
        action = (action - net.centre) / net.half_width
    spread = action.std(0, unbiased=False)
    net.mlp.last.reset_parameters()
    for parameter in (net.mlp.last.weight, net.mlp.last.bias):
        parameter.mul_(_LAST_LAYER)
        parameter.mul_(spread.reshape(-1, *[1] * (parameter.ndim - 1)))
    net.mlp.last.bias.add_(action.mean(0))
    low, high = net.log_std_bounds
    share = ((spread.clamp_min(math.exp(low)).log() - low) / (high - low)).clamp(CONSTANT_STD, 1 - CONSTANT_STD)
    net.std_parameter.copy_(share.logit())
