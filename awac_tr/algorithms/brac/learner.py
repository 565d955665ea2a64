"""BRAC: the model of the behaviour takes a step on the batch, then actor and critics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep, trained
from awac_tr.algorithms.soft_actor_critic import soft_learner, soft_loss, soft_steps
from awac_tr.objectives.brac import BRACLoss

if TYPE_CHECKING:
    from awac_tr.algorithms.brac.config import BRACConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["build"]


def build(config: BRACConfig, parts: Parts) -> GradientLearner:
    """The learner of a recipe; the model is of the policy's kind, with its rates.

    Raises:
        RecipeError: ``value_bounds: reward_range`` where the environment's rewards are unbounded on both sides.
    """
    policy, behaviour = parts.policy(), parts.policy()
    loss = soft_loss(
        config,
        parts,
        policy,
        behaviour,
        make=BRACLoss,
        penalty=config.penalty,
        penalty_weight=config.penalty_weight,
        value_penalty=config.value_penalty,
    )
    groups = [(trained(loss.behaviour.actor_network_params), config.policy_lr, config.policy_weight_decay)]
    steps = [GradientStep(loss.behaviour.fit, groups), *soft_steps(loss, config)]
    return soft_learner(policy, loss, steps, config, parts)
