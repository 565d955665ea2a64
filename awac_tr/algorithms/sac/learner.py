"""SAC: alpha, then actor and critics; before it goes online, a clone of the demonstrations where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep, trained
from awac_tr.algorithms.soft_actor_critic import cloning_of, soft_learner, soft_loss, soft_steps
from awac_tr.objectives.bc import BCLoss
from awac_tr.objectives.sac import SACLoss

if TYPE_CHECKING:
    from awac_tr.algorithms.parts import Parts
    from awac_tr.algorithms.sac.config import SACConfig

__all__ = ["build"]


def build(config: SACConfig, parts: Parts) -> GradientLearner:
    """The learner of a recipe.

    Raises:
        RecipeError: ``value_bounds: reward_range`` where the environment's rewards are unbounded on both sides.
    """
    policy = parts.policy()
    loss = soft_loss(config, parts, policy, make=SACLoss)
    if config.start != "pretrain":
        return soft_learner(policy, loss, soft_steps(loss, config), config, parts)
    groups = [(trained(loss.actor_network_params), config.policy_lr, config.policy_weight_decay)]
    cloning = GradientStep(cloning_of(BCLoss(policy)), groups, phases=("offline",))
    return soft_learner(policy, loss, [cloning, *soft_steps(loss, config, phases=("online",))], config, parts)
