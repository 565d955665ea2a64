"""What algorithms with soft critics share: the loss, its steps, and a clone's loss on demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from tensordict import TensorDict
from torchrl.objectives import ValueEstimators

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep, trained
from awac_tr.algorithms.targets import ForeachSoftUpdate
from awac_tr.algorithms.value_bounds import resolved_bounds
from awac_tr.keys import DEMONSTRATIONS
from awac_tr.objectives.bc import BCLoss
from awac_tr.objectives.sac import SACLoss

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential

    from awac_tr.algorithms.config import EntropyConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["cloning_of", "soft_learner", "soft_loss", "soft_steps"]

Losses = Callable[["TensorDictBase"], "TensorDictBase"]


Loss = TypeVar("Loss", bound=SACLoss)


def soft_loss(
    config: EntropyConfig,
    parts: Parts,
    *actors: ProbabilisticTensorDictSequential,
    make: Callable[..., Loss],
    **more: Any,
) -> Loss:
    """The loss of a recipe, with fresh critics.

    Args:
        config: of the recipe.
        parts: make the critics.
        actors: what the loss takes before the critics: the policy first.
        make: the loss's class.
        more: options of it beyond those of :class:`SACLoss`.

    Raises:
        RecipeError: ``value_bounds: reward_range`` where the environment's rewards are unbounded on both sides.
    """
    entropy = -float(parts.env.action_size) if config.target_entropy is None else config.target_entropy
    loss = make(
        *actors,
        parts.qvalues(),
        alpha=config.alpha,
        tune_alpha=config.tune_alpha,
        target_entropy=entropy,
        value_bounds=resolved_bounds(config, parts.env.reward_range),
        ignore_terminals=config.ignore_terminals,
        deactivate_vmap=not parts.batch_critics,
        **more,
    )
    loss.make_value_estimator(ValueEstimators.TD0, gamma=config.gamma)
    return loss


def soft_steps(
    loss: SACLoss, config: EntropyConfig, losses: Losses | None = None, *, phases: tuple[str, ...] | None = None
) -> list[GradientStep]:
    """Alpha's step first, where it is tuned: targets and actor use the new one. Then actor and critics together.

    Args:
        loss: what is trained.
        config: learning rates.
        losses: what actor and critics are trained by; None: the loss itself.
        phases: made in these only; None: in all.
    """
    groups = [
        (trained(loss.actor_network_params), config.policy_lr, config.policy_weight_decay),
        (trained(loss.qvalue_network_params), config.qvalue_lr, config.qvalue_weight_decay),
    ]
    steps = [GradientStep(losses or loss, groups)]
    if loss.tune_alpha:
        steps.insert(0, GradientStep(loss.alpha_loss, [([loss.log_alpha], config.policy_lr, 0.0)]))
    return steps if phases is None else [replace(step, phases=phases) for step in steps]


def cloning_of(cloning: BCLoss, rows: int | None = None) -> Losses:
    """Its loss on a batch's second batch, of demonstrations, as ``loss_clone`` and ``demonstration_log_prob``.

    Args:
        cloning: the loss.
        rows: of the second batch that count, its first ones; None: all.
    """

    def losses(batch: TensorDictBase) -> TensorDict:
        out = cloning(batch.get(DEMONSTRATIONS)[:rows])
        return TensorDict({"loss_clone": out["loss_actor"], "demonstration_log_prob": out["log_prob"]})

    return losses


def soft_learner(
    policy: ProbabilisticTensorDictSequential,
    loss: SACLoss,
    steps: Sequence[GradientStep],
    config: EntropyConfig,
    parts: Parts,
) -> GradientLearner:
    """The learner of these steps; target critics follow after each update."""
    return GradientLearner(
        policy,
        loss,
        steps,
        targets=ForeachSoftUpdate(loss, tau=config.tau),
        reward_scale=config.reward_scale,
        compile_update=parts.compile_update,
    )
