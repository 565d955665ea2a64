"""AWAC (Nair et al., 2020): the loss of Eqs. 3 and 10, Adam, and a slowly following target critic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torchrl.objectives import ValueEstimators

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep, trained
from awac_tr.algorithms.targets import ForeachSoftUpdate
from awac_tr.algorithms.value_bounds import resolved_bounds
from awac_tr.objectives.awac import AWACLoss
from awac_tr.objectives.behaviour_awac import BehaviourAWACLoss

if TYPE_CHECKING:
    from awac_tr.algorithms.awac.config import AWACConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["build"]


def build(config: AWACConfig, parts: Parts) -> GradientLearner:
    """Actor and critics of AWAC.

    One backward pass serves both losses: each reaches its own parameters only, and both are evaluated at the
    parameters of before the step, as in the authors' code.

    Raises:
        RecipeError: ``value_bounds: reward_range`` where the environment's rewards are unbounded on both sides.
    """
    policy, qvalues = parts.policy(), parts.qvalues()
    options: dict[str, Any] = {
        "temperature": config.temperature,
        "weighting": config.weighting,
        "advantage_max": config.advantage_max,
        "weight_max": config.weight_max,
        "value_estimate": config.value_estimate,
        "value_samples": config.value_samples,
        "value_bounds": resolved_bounds(config, parts.env.reward_range),
        "ignore_terminals": config.ignore_terminals,
        "deactivate_vmap": not parts.batch_critics,
    }
    if config.behaviour_model:
        options |= {"partition_samples": config.partition_samples, "target_kl": config.target_kl}
        with torch.random.fork_rng(devices=[]):  # AWAC draws the same numbers with the model as without
            model = parts.policy()
        loss: AWACLoss = BehaviourAWACLoss(policy, model, qvalues, **options)
    else:
        loss = AWACLoss(policy, qvalues, **options)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=config.gamma)
    groups = [
        (trained(loss.actor_network_params), config.policy_lr, config.policy_weight_decay),
        (trained(loss.qvalue_network_params), config.qvalue_lr, config.qvalue_weight_decay),
    ]
    steps = [GradientStep(loss, groups)]
    if isinstance(loss, BehaviourAWACLoss):
        groups += loss.temperature_groups(config.policy_lr)
        rates = (trained(loss.behaviour.actor_network_params), config.policy_lr, config.policy_weight_decay)
        steps.append(GradientStep(loss.behaviour.fit, [rates]))
    targets = ForeachSoftUpdate(loss, tau=config.tau)
    return GradientLearner(
        policy,
        loss,
        steps,
        targets=targets,
        reward_scale=config.reward_scale,
        compile_update=parts.compile_update,
    )
