"""SAC with a cloning term: the actor's loss is SAC's plus the weighted negative log-likelihood of demonstrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awac_tr.algorithms.gradient_learner import GradientLearner
from awac_tr.algorithms.soft_actor_critic import cloning_of, soft_learner, soft_loss, soft_steps
from awac_tr.objectives.bc import BCLoss
from awac_tr.objectives.sac import SACLoss

if TYPE_CHECKING:
    from tensordict import TensorDictBase

    from awac_tr.algorithms.parts import Parts
    from awac_tr.algorithms.sac_bc.config import SACBCConfig

__all__ = ["build"]


def build(config: SACBCConfig, parts: Parts) -> GradientLearner:
    """The learner of a recipe.

    Raises:
        RecipeError: ``value_bounds: reward_range`` where the environment's rewards are unbounded on both sides.
    """
    policy = parts.policy()
    loss = soft_loss(config, parts, policy, make=SACLoss)
    cloning = cloning_of(BCLoss(policy, loss_function=config.cloning), rows=config.demonstration_batch_size)

    def losses(batch: TensorDictBase) -> TensorDictBase:
        imitation = cloning(batch)
        imitation.set("loss_clone", config.cloning_weight * imitation.get("loss_clone"))
        return loss(batch).update(imitation)

    return soft_learner(policy, loss, soft_steps(loss, config, losses), config, parts)
