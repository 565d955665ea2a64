"""IQL (Kostrikov et al., 2021) by TorchRL's loss: V, then the actor, then the critics, then the targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tensordict import TensorDict
from torchrl.objectives import IQLLoss, ValueEstimators

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep, trained
from awac_tr.algorithms.targets import ForeachSoftUpdate
from awac_tr.keys import STEPS_TO_NEXT

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from torch import Tensor

    from awac_tr.algorithms.iql.config import IQLConfig
    from awac_tr.algorithms.parts import Parts

__all__ = ["build"]

_STEPS: Final = ("next", STEPS_TO_NEXT)


def build(config: IQLConfig, parts: Parts) -> GradientLearner:
    """Each step sees what the one before it learnt, as in the original: the actor and the critics use the new V.

    TorchRL's ``forward`` would evaluate all three at the parameters of before the update.
    """
    policy, qvalues, value = parts.policy(), parts.qvalues(), parts.value()
    loss = IQLLoss(
        policy,
        qvalues,
        value,
        num_qvalue_nets=len(qvalues),
        loss_function="l2",
        temperature=config.inverse_temperature,
        expectile=config.expectile,
        deactivate_vmap=not parts.batch_critics,
    )
    loss.make_value_estimator(ValueEstimators.TD0, gamma=config.gamma)
    # the loss hands nothing but observation, action and next to its estimator
    loss.value_estimator.set_keys(steps_to_next_obs=_STEPS)
    actor = trained(loss.actor_network_params), config.policy_lr, config.policy_weight_decay
    critics = trained(loss.qvalue_network_params), config.qvalue_lr, config.qvalue_weight_decay
    steps = [
        GradientStep(
            _named("loss_value", loss.value_loss), [(trained(loss.value_network_params), config.value_lr, 0.0)]
        ),
        GradientStep(_named("loss_actor", loss.actor_loss), [actor]),
        GradientStep(_named("loss_qvalue", loss.qvalue_loss), [critics]),
    ]
    targets = ForeachSoftUpdate(loss, tau=config.tau)
    return GradientLearner(
        policy,
        loss,
        steps,
        targets=targets,
        reward_scale=config.reward_scale,
        compile_update=parts.compile_update,
    )


def _named(
    name: str, loss: Callable[[TensorDictBase], tuple[Tensor, dict[str, Any]]]
) -> Callable[[TensorDictBase], TensorDict]:
    def losses(batch: TensorDictBase) -> TensorDict:
        steps = batch.get(STEPS_TO_NEXT, None)
        if steps is not None:
            batch.set(_STEPS, steps)
        value, _ = loss(batch)
        return TensorDict({name: value})

    return losses
