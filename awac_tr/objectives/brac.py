"""BRACLoss: an actor that climbs its critics and pays for leaving a model of the data's behaviour (Wu et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from tensordict import TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule
from torch import Tensor, nn
from torch.distributions import Distribution

from awac_tr.objectives.base import check_choice, log_prob
from awac_tr.objectives.behaviour import BehaviourModel
from awac_tr.objectives.sac import SACLoss

__all__ = ["BRACLoss"]


class BRACLoss(SACLoss):
    r"""Behaviour-regularised actor-critic as the AWAC paper compares with it, with a Gaussian model pi_b.

    With w the penalty's weight and a~ the policy's action by reparameterisation:

    - ``kl``: ``loss_actor = mean_B w * (log pi(a~ | s) - log pi_b(a~ | s)) - minQ(s, a~)``, in the mean
      ``w KL(pi || pi_b) - minQ``; ``y = r + gamma * (1 - terminated) * min_i Q_target_i(s', a')`` has no entropy. With
      ``value_penalty`` the next value loses ``w * (log pi(a' | s') - log pi_b(a' | s'))`` too (BRAC-v of the original);
    - ``reward``: :class:`SACLoss` on rewards ``r + w * log pi_b(a | s)`` at the data's action (what the authors' code
      means; there the sum of [B, 1] and [B] makes a target [B, B], by which the penalty is lost).

    Args:
        actor_network: pi.
        behaviour_network: pi_b, with parameters of its own; it learns by ``behaviour.fit`` alone.
        qvalue_network: Q, as in :class:`~awac_tr.objectives.AWACLoss`.

    Keyword Args:
        penalty: ``kl`` or ``reward``.
        penalty_weight: w, at least 0; for ``kl`` in units of return, for ``reward`` in units of reward.
        value_penalty: lower next values as well; for ``kl``.
        options: those of :class:`SACLoss`; of ``kl`` alpha is 0, whatever is given.

    Batch, errors and returns: as of :class:`SACLoss`, whose ``penalty`` of ``kl`` is w times an estimate of the KL.
    """

    _coefficients: ClassVar = {
        **SACLoss._coefficients,  # noqa: SLF001  (of the base class)
        "penalty_weight": SACLoss._coefficients["alpha"],  # noqa: SLF001
    }

    penalty_weight: Tensor

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        behaviour_network: ProbabilisticTensorDictSequential,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        penalty: Literal["kl", "reward"] = "kl",
        penalty_weight: float = 0.1,
        value_penalty: bool = False,
        num_qvalue_nets: int | None = None,
        **options: Any,
    ) -> None:
        check_choice("penalty", penalty, ("kl", "reward"))
        if penalty == "kl":
            options |= {"alpha": 0.0, "tune_alpha": False}
        super().__init__(actor_network, qvalue_network, num_qvalue_nets=num_qvalue_nets, **options)
        if behaviour_network is actor_network:
            raise ValueError("the model is the actor itself: give it parameters of its own, copy.deepcopy(actor)")
        self.penalty_in, self.value_penalty = penalty, value_penalty
        self._register_coefficients(penalty_weight=penalty_weight)
        self.behaviour = BehaviourModel(behaviour_network)

    def next_value(self, following: TensorDict, policy: Distribution) -> Tensor:
        """As the class docstring says, [*B, 1]."""
        if self.penalty_in == "reward":
            return super().next_value(following, policy)
        action = policy.sample()
        value = self._clamped_min(self._target_qvalues(following, action))
        if not self.value_penalty:
            return value
        return value - self.penalty(following, action, log_prob(policy, action, following)).unsqueeze(-1)

    def penalty(self, batch: TensorDict, action: Tensor, likelihood: Tensor) -> Tensor:
        """W (log pi(a | s) - log pi_b(a | s)), or under ``reward`` SAC's, [*B]."""
        if self.penalty_in == "reward":
            return super().penalty(batch, action, likelihood)
        return self.penalty_weight * (likelihood - self.behaviour.likelihood(batch, action))

    def _batch(self, tensordict: TensorDictBase) -> TensorDict:
        batch = super()._batch(tensordict)
        if self.penalty_in == "reward":
            key = ("next", self.tensor_keys.reward)
            bonus = self.penalty_weight * self.behaviour.likelihood(batch, batch.get(self.tensor_keys.action)).detach()
            batch.set(key, batch.get(key) + bonus.unsqueeze(-1))  # [B, 1] both: with [B] it would be [B, B]
        return batch
