"""Behaviour cloning: maximise the likelihood of the data's actions (or minimise the squared error of the mean)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from awac_tr.algorithms.adam import adam, load_adam
from awac_tr.objectives.bc import BCLoss

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential

    from awac_tr.recipes.schema import BCSection

__all__ = ["BCLearner"]


class BCLearner:
    """Clone the actions of a dataset.

    Args:
        policy: the policy to train, observation statistics already set.
        section: the recipe's ``bc`` section.
    """

    def __init__(self, policy: ProbabilisticTensorDictSequential, section: BCSection) -> None:
        self.policy = policy
        self.loss = BCLoss(policy, loss_function=section.loss)
        self.optimizer = adam((self.loss.parameters(), section.lr, section.weight_decay))

    def update(self, batch: TensorDictBase) -> TensorDictBase:
        """One step of Adam on ``loss_actor`` of a batch [B] with keys ``observation`` and ``action``."""
        losses = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss_actor"].backward()
        self.optimizer.step()
        return losses.detach()

    def state_dict(self) -> dict[str, Any]:
        """Loss (policy) and optimiser."""
        return {"loss": dict(self.loss.state_dict()), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.loss.load_state_dict(state["loss"])
        load_adam(self.optimizer, state["optimizer"])
