"""MPO (Abdolmaleki et al., 2018): policy and critics take one step of Adam each, in one backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchrl.objectives import ValueEstimators

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep, trained
from awac_tr.algorithms.targets import ForeachSoftUpdate
from awac_tr.algorithms.value_bounds import resolved_bounds
from awac_tr.objectives.mpo import MPOLoss

if TYPE_CHECKING:
    from awac_tr.algorithms.mpo.config import MPOConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["build"]


def build(config: MPOConfig, parts: Parts) -> GradientLearner:
    """Actor and critics; the gradient of either loss reaches its own only.

    Raises:
        RecipeError: ``value_bounds: reward_range`` where the environment's rewards are unbounded on both sides.
    """
    policy, qvalues = parts.policy(), parts.qvalues()
    loss = MPOLoss(
        policy,
        qvalues,
        temperature=config.temperature,
        target_kl=config.target_kl,
        samples=config.samples,
        weighting=config.weighting,
        detach=config.detach,
        advantage_max=config.advantage_max,
        value_estimate=config.value_estimate,
        value_bounds=resolved_bounds(config, parts.env.reward_range),
        ignore_terminals=config.ignore_terminals,
        deactivate_vmap=not parts.batch_critics,
    )
    loss.make_value_estimator(ValueEstimators.TD0, gamma=config.gamma)
    groups = [
        (trained(loss.actor_network_params), config.policy_lr, config.policy_weight_decay),
        (trained(loss.qvalue_network_params), config.qvalue_lr, config.qvalue_weight_decay),
    ]
    if config.target_kl is not None:
        groups.append(([loss.raw_temperature], config.temperature_lr, 0.0))
    return GradientLearner(
        policy,
        loss,
        [GradientStep(loss, groups)],
        targets=ForeachSoftUpdate(loss, tau=config.tau),
        reward_scale=config.reward_scale,
        compile_update=parts.compile_update,
    )
