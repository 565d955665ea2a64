"""SACLoss: soft actor-critic (Haarnoja et al., 2018) in the form of our other losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule, dispatch
from torch import Tensor, nn
from torch.distributions import Distribution

from awac_tr.objectives.advantage import AdvantageLoss
from awac_tr.objectives.base import log_prob

__all__ = ["SACLoss"]

_TERMS: Final = ("loss_actor", "loss_qvalue", "log_prob", "actor_qvalue", "penalty", "qvalue", "target_value")


def _not_negative(name: str, value: Any) -> float:
    if not float(value) >= 0:
        raise ValueError(f"{name} is {value}, it must be at least 0")
    return float(value)


class SACLoss(AdvantageLoss):
    r"""Critics with an entropy bonus, and an actor that climbs them.

    With a~ from the policy by reparameterisation, ``minQ = min_i Q_i``:

    - critic: ``y = r + gamma * (1 - terminated) * (clamp(min_i Q_target_i(s', a')) - alpha * log pi(a' | s'))``, one
      ``a' ~ pi(. | s')`` for all targets, ``loss_qvalue = mean_B sum_i (Q_i(s, a) - y)^2``;
    - actor: ``loss_actor = mean_B alpha * log pi(a~ | s) - minQ(s, a~)``;
    - :meth:`alpha_loss`: ``-log alpha * (log pi(a~ | s) + target_entropy)``, mean over the batch.

    The numbers are those of TorchRL's ``SACLoss(loss_function="l2")``, to which a test holds them. Beyond it: bounds on
    next values, terminals that are ignored, alpha 0, checks of the batch, and hooks for other penalties.

    Args:
        actor_network: pi. Log-probabilities are those of its own distribution: a Normal whose mean is a tanh has no
            correction for squashing, TanhNormal has.
        qvalue_network: Q, as in :class:`~awac_tr.objectives.AWACLoss`.

    Keyword Args:
        alpha: entropy coefficient, in units of return; its first value where it is tuned. At least 0.
        tune_alpha: alpha is the exponential of a parameter ``log_alpha``; else a buffer that may be set.
        target_entropy: the entropy that tuning leads to, in nats.
        value_bounds: (low, high) in units of return, for next values before the bonus; None: open.
        options: those of ``ActorCriticLoss``, see :class:`~awac_tr.objectives.AWACLoss`.

    Batch and errors: as of :class:`~awac_tr.objectives.AWACLoss`.

    Returns:
        From :meth:`forward`, scalars: ``loss_actor`` and ``loss_qvalue``, each with gradient to its own network only,
        and, detached, ``log_prob`` (mean of log pi(a~ | s), the negative entropy), ``actor_qvalue`` (mean of
        minQ(s, a~)), ``penalty`` (mean of alpha log pi(a~ | s)), ``qvalue``, ``target_value`` and ``alpha``. Under
        ``reduction="none"`` each but alpha is [B].
    """

    _coefficients: ClassVar = {
        "value_bounds": AdvantageLoss._coefficients["value_bounds"],  # noqa: SLF001  (of the base class)
        "target_entropy": float,
        "alpha": lambda value: _not_negative("alpha", value),
    }
    _out_keys_per_row: ClassVar = _TERMS
    _out_keys_reduced: ClassVar = (*_TERMS, "alpha")

    alpha: Tensor
    target_entropy: Tensor

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        alpha: float = 1.0,
        tune_alpha: bool = True,
        target_entropy: float = 0.0,
        value_bounds: tuple[float | None, float | None] = (None, None),
        num_qvalue_nets: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            actor_network,
            qvalue_network,
            coefficients={"value_bounds": value_bounds, "target_entropy": target_entropy, "alpha": alpha},
            value_estimate="sample",
            value_samples=1,
            num_qvalue_nets=num_qvalue_nets,
            **options,
        )
        self.tune_alpha = tune_alpha
        if tune_alpha:
            if not alpha > 0:
                raise ValueError(f"alpha is {alpha}, it must be above 0 where it is tuned")
            self.log_alpha = nn.Parameter(self.alpha.log())

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Both losses and the diagnostics; shapes and keys in the class docstring."""
        batch = self._batch(tensordict)
        policy, next_policy = self._policies(batch, batch.get("next"))
        (qvalues,) = self._qvalues(self._critics(), batch)
        loss_qvalue, critic = self._qvalue_terms(batch, qvalues, next_policy)
        loss_actor, actor = self._actor_terms(batch, policy)
        self._write_priority(tensordict, critic["td_error"])
        return self._output({"loss_actor": loss_actor, "loss_qvalue": loss_qvalue} | actor | critic, batch)

    def alpha_loss(self, tensordict: TensorDictBase) -> TensorDict:
        """``loss_alpha``, whose gradient by log alpha is ``-mean(log pi + target_entropy)``.

        Args:
            tensordict: a batch with the inputs of the actor; not written to.
        """
        batch = self._batch(tensordict)
        with torch.no_grad():
            (policy,) = self._policies(batch)
            likelihood = log_prob(policy, policy.sample(), batch)
        return TensorDict({"loss_alpha": -self.log_alpha * (likelihood + self.target_entropy).mean()})

    def next_value(self, following: TensorDict, policy: Distribution) -> Tensor:
        """clamp(min_i Q_target_i(s', a')) - alpha log pi(a' | s'), [*B, 1]."""
        action = policy.sample()
        bonus = self.entropy_weight() * log_prob(policy, action, following)
        return self._clamped_min(self._target_qvalues(following, action)) - bonus.unsqueeze(-1)

    def entropy_weight(self) -> Tensor:
        """Alpha as it stands, a scalar without gradient."""
        return self.log_alpha.detach().exp() if self.tune_alpha else self.alpha

    def penalty(self, batch: TensorDict, action: Tensor, likelihood: Tensor) -> Tensor:
        """What the actor pays beside -minQ, [*B], for reparameterised actions [*B, a] and log pi of them [*B]."""
        del batch, action
        return self.entropy_weight() * likelihood

    def _actor_terms(self, batch: TensorDict, policy: Distribution) -> tuple[Tensor, dict[str, Tensor]]:
        action = policy.rsample()
        likelihood = log_prob(policy, action, batch)
        states = batch.exclude("next").set(self.tensor_keys.action, action)
        (qvalues,) = self._qvalues(self.qvalue_network_params.detach(), states)
        lowest = qvalues.min(0)[0].squeeze(-1)
        penalty = self.penalty(batch, action, likelihood)
        return self._reduce_loss(penalty - lowest, weights=self._weights(batch)), {
            "log_prob": self._mean(likelihood),
            "actor_qvalue": self._mean(lowest),
            "penalty": self._mean(penalty),
            "alpha": self.entropy_weight(),
        }
