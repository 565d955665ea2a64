"""ABM (Siegel et al., 2020): prior, policy and critics take one step of Adam each, in one backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchrl.objectives import ValueEstimators

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep, trained
from awac_tr.algorithms.targets import ForeachSoftUpdate
from awac_tr.algorithms.value_bounds import resolved_bounds
from awac_tr.objectives.abm import ABMLoss

if TYPE_CHECKING:
    from awac_tr.algorithms.abm.config import ABMConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["build"]


def build(config: ABMConfig, parts: Parts) -> GradientLearner:
    """Actor, prior of the same kind with weights of its own, and critics; the prior has the actor's rates.

    Raises:
        RecipeError: ``value_bounds: reward_range`` where the environment's rewards are unbounded on both sides.
    """
    policy, prior, qvalues = parts.policy(), parts.policy(), parts.qvalues()
    loss = ABMLoss(
        policy,
        prior,
        qvalues,
        temperature=config.temperature,
        weighting=config.weighting,
        prior_weighting=config.prior_weighting,
        prior_value=config.prior_value,
        advantage_max=config.advantage_max,
        weight_max=config.weight_max,
        value_estimate=config.value_estimate,
        value_samples=config.value_samples,
        value_bounds=resolved_bounds(config, parts.env.reward_range),
        ignore_terminals=config.ignore_terminals,
        deactivate_vmap=not parts.batch_critics,
    )
    loss.make_value_estimator(ValueEstimators.TD0, gamma=config.gamma)
    imitating = [*trained(loss.actor_network_params), *trained(loss.prior_network_params)]
    step = GradientStep(
        loss,
        [
            (imitating, config.policy_lr, config.policy_weight_decay),
            (trained(loss.qvalue_network_params), config.qvalue_lr, config.qvalue_weight_decay),
        ],
    )
    return GradientLearner(
        policy,
        loss,
        [step],
        targets=ForeachSoftUpdate(loss, tau=config.tau),
        reward_scale=config.reward_scale,
        compile_update=parts.compile_update,
    )
