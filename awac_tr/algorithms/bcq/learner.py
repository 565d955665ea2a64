"""BCQ: the CVAE takes a step on the batch, then the critics, then the perturbation, then the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchrl.objectives import ValueEstimators

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep, trained
from awac_tr.algorithms.targets import ForeachSoftUpdate
from awac_tr.keys import ACTION, OBSERVATION
from awac_tr.models.best_of_samples import BestOfCVAE
from awac_tr.models.build import Keyed
from awac_tr.objectives.bcq import BCQLoss

if TYPE_CHECKING:
    from awac_tr.algorithms.bcq.config import BCQConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["build"]


def build(config: BCQConfig, parts: Parts) -> GradientLearner:
    """The learner of a recipe; its policy is the best of the CVAE's perturbed actions."""
    cvae = parts.cvae(config.cvae_hidden_sizes)
    perturbation = parts.perturbation(config.perturbation_hidden_sizes, config.phi)
    loss = BCQLoss(
        Keyed(perturbation, [OBSERVATION, ACTION], [ACTION]),
        cvae,
        parts.qvalues(),
        next_samples=config.next_samples,
        minimum_weight=config.minimum_weight,
        deactivate_vmap=not parts.batch_critics,
    )
    loss.make_value_estimator(ValueEstimators.TD0, gamma=config.gamma)
    actor = trained(loss.actor_network_params), config.policy_lr, config.policy_weight_decay
    critics = trained(loss.qvalue_network_params), config.qvalue_lr, config.qvalue_weight_decay
    return GradientLearner(
        BestOfCVAE(cvae, perturbation, parts.first_critic(loss), config.acting_samples),
        loss,
        [
            GradientStep(loss.cvae.fit, [(trained(loss.cvae.cvae_network_params), config.cvae_lr, 0.0)]),
            GradientStep(loss.critic_losses, [critics]),
            GradientStep(loss.actor_losses, [actor]),
        ],
        targets=ForeachSoftUpdate(loss, tau=config.tau),
        reward_scale=config.reward_scale,
        compile_update=parts.compile_update,
    )
