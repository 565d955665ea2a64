"""BEAR: the CVAE takes a step on the batch, then the critics, then the actor and its multiplier, then the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torchrl.objectives import ValueEstimators

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep, trained
from awac_tr.algorithms.targets import ForeachSoftUpdate
from awac_tr.models.best_of_samples import BestOfPolicy
from awac_tr.objectives.bear import BEARLoss

if TYPE_CHECKING:
    from tensordict import TensorDictBase

    from awac_tr.algorithms.bear.config import BEARConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["BEARLearner", "build"]

_LOG_MULTIPLIER: Final = (-5.0, 10.0)


class BEARLearner(GradientLearner):
    """Counts the updates, and keeps the multiplier between exp(-5) and exp(10)."""

    loss: BEARLoss
    late_online = False

    def on_phase(self, phase: str) -> None:
        """Online, the later threshold may begin."""
        super().on_phase(phase)
        if phase == "online" and self.late_online:
            self.loss.late_from.fill_(0)

    def make_steps(self, batch: TensorDictBase) -> TensorDictBase:
        """An update."""
        out = super().make_steps(batch)
        with torch.no_grad():
            self.loss.log_multiplier.clamp_(*_LOG_MULTIPLIER)
            self.loss.updates += 1
        return out


def build(config: BEARConfig, parts: Parts) -> GradientLearner:
    """The learner of a recipe."""
    policy = parts.policy()
    loss = BEARLoss(
        policy,
        parts.cvae(config.cvae_hidden_sizes),
        parts.qvalues(),
        kernel=config.kernel,
        bandwidth=config.bandwidth,
        samples=config.samples,
        next_samples=config.next_samples,
        threshold=config.threshold,
        late_threshold=config.late_threshold or config.threshold,
        late_from=config.late_from if isinstance(config.late_from, int) else None,
        warm_start=config.warm_start,
        minimum_weight=config.minimum_weight,
        deactivate_vmap=not parts.batch_critics,
    )
    loss.make_value_estimator(ValueEstimators.TD0, gamma=config.gamma)
    actor = trained(loss.actor_network_params), config.policy_lr, config.policy_weight_decay
    critics = trained(loss.qvalue_network_params), config.qvalue_lr, config.qvalue_weight_decay
    steps = [
        GradientStep(loss.cvae.fit, [(trained(loss.cvae.cvae_network_params), config.cvae_lr, 0.0)]),
        GradientStep(loss.critic_losses, [critics]),
        GradientStep(loss.actor_losses, [actor, ([loss.log_multiplier], config.multiplier_lr, 0.0)]),
    ]
    options: dict[str, Any] = {"reward_scale": config.reward_scale, "compile_update": parts.compile_update}
    learner = BEARLearner(policy, loss, steps, targets=ForeachSoftUpdate(loss, tau=config.tau), **options)
    learner.late_online = config.late_from == "online"
    learner.act = learner.evaluate = BestOfPolicy(policy, parts.first_critic(loss), config.acting_samples)
    return learner
