"""Behaviour cloning: maximise the likelihood of the data's actions (or minimise the squared error of the mean)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep
from awac_tr.objectives.bc import BCLoss

if TYPE_CHECKING:
    from tensordict.nn import ProbabilisticTensorDictSequential

    from awac_tr.algorithms.bc.config import BCConfig, CloningKeys
    from awac_tr.algorithms.parts import Parts

__all__ = ["build", "cloning_learner"]


def build(config: BCConfig, parts: Parts) -> GradientLearner:
    """The learner of a recipe."""
    return cloning_learner(parts.policy(), config, compile_update=parts.compile_update)


def cloning_learner(
    policy: ProbabilisticTensorDictSequential, keys: CloningKeys, *, compile_update: bool = False
) -> GradientLearner:
    """Clone the actions of a dataset.

    Args:
        policy: the policy to train, observation statistics already set.
        keys: loss, learning rate and weight decay.
        compile_update: see :class:`GradientLearner`.
    """
    loss = BCLoss(policy, loss_function=keys.loss)
    # the squared error is of the mean alone: it does not reach what makes the deviation
    reached = [each for name, each in loss.named_parameters() if keys.loss != "mse" or "std_" not in name]
    step = GradientStep(loss, [(reached, keys.lr, keys.weight_decay)])
    return GradientLearner(policy, loss, [step], compile_update=compile_update)
