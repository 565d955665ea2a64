"""AWR (Peng et al., 2019): rounds of value regression, then of weighted cloning, over the whole buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from awac_tr.algorithms.awr.rounds import AWRLearner
from awac_tr.errors import RecipeError
from awac_tr.models.networks import init_last
from awac_tr.objectives.awr import AWRLoss

if TYPE_CHECKING:
    from awac_tr.algorithms.awr.config import AWRConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["build"]

_LAST_LAYER = 0.01


def build(config: AWRConfig, parts: Parts) -> AWRLearner:
    """Policy and V, each with momentum SGD; the policy's deviation is not trained.

    Raises:
        RecipeError: ``policy.std: dependent``: a deviation that follows the state cannot stay what it is.
    """
    if parts.recipe.policy.std == "dependent":
        raise RecipeError(
            "policy.std: dependent, but AWR's deviation is one fixed number", "write policy.std=independent."
        )
    policy, value = parts.policy(), parts.value()
    fresh = parts.initial_policy is None
    if fresh:
        init_last(policy[0].module.mlp.last, _LAST_LAYER)
    low, high = parts.action_bounds or (None, None)
    loss = AWRLoss(
        policy,
        value,
        scale=1 / (1 - config.gamma),
        temperature=config.temperature,
        weight_max=config.weight_max,
        action_low=low,
        action_high=high,
    )
    trained = [each for name, each in policy.named_parameters() if "std_" not in name]
    return AWRLearner(
        policy,
        value,
        loss,
        config,
        optimizers=(
            torch.optim.SGD(loss.value_network_params.parameters(), config.value_lr, config.momentum),
            torch.optim.SGD(trained, config.policy_lr, config.momentum),
        ),
        recipe=parts.recipe,
        follow_statistics=fresh and parts.statistics is not None,
    )
