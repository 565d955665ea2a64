"""MPOLoss: a policy that imitates the better ones of its own actions (Abdolmaleki et al., 2018), Eq. 21 of AWAC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule, dispatch
from torch import Tensor, nn
from torch.nn import functional

from awac_tr.objectives.advantage import AdvantageLoss, positive
from awac_tr.objectives.base import Reduction, check_choice
from awac_tr.objectives.batch import BatchError
from awac_tr.objectives.weights import effective_sample_size, softmax_weights

__all__ = ["MPOLoss"]

_DIAGNOSTICS: Final = ("advantage", "log_prob", "effective_sample_size", "qvalue", "target_value")


class MPOLoss(AdvantageLoss):
    r"""Eq. 21 of Nair et al. (2020), with the critic loss of :class:`~awac_tr.objectives.AWACLoss`.

    N actions a_k ~ pi(. | s) a state, without gradient, and Q = clamp(min_i Q_i):
    ``loss_actor = -mean_B sum_k w_k log pi(a_k | s)`` with

    - ``samples``: ``w = softmax_k(Q(s, a_k) / temperature)``: Eq. 21 up to a constant of each state, which keeps
      exp(Q / temperature) from vanishing where returns are far below 0;
    - ``batch`` (authors' code): w = B softmax over the whole batch of min(A, advantage_max) / temperature, over N,
      with A(s, a_k) = Q(s, a_k) - V(s).

    With ``target_kl`` epsilon the temperature T of ``samples`` is the softplus of a parameter ``raw_temperature``. It
    descends the dual ``loss_temperature = T (epsilon + mean_B logsumexp_k(Q / T) - log N)`` (the original's E-step): at
    its least, the weights are epsilon from uniform, as a mean over states of their KL in nats.

    No gradient flows through w or, with ``detach``, through a_k. Both losses are evaluated at the parameters of before
    the step; each reaches its own network only.

    Args:
        actor_network: pi.
        qvalue_network: Q, as in :class:`~awac_tr.objectives.AWACLoss`.

    Keyword Args:
        temperature: T; its first value where it is learnt.
        target_kl: epsilon, for ``samples``; None: the temperature is fixed.
        samples: N, at least 1; at least 2 for ``samples``, where the weight of a single one is 1.
        weighting: ``samples`` or ``batch``.
        detach: False keeps the gradient of reparameterised samples, as the released rlkit does. Then the loss has no
            gradient in the mean at all and the deviation only shrinks: to reproduce that fault, for nothing else.
        advantage_max: cap on A, for ``batch``; None: none.
        value_estimate: of V(s), for ``batch``, as in :class:`~awac_tr.objectives.AWACLoss`; so is ``value_samples``.
        options: the others of :class:`~awac_tr.objectives.AWACLoss`, with its meanings and ranges.

    Batch and errors: as of :class:`~awac_tr.objectives.AWACLoss`.

    Returns:
        From :meth:`forward`, scalars: ``loss_actor`` and ``loss_qvalue``, and, detached, ``advantage`` (mean of
        Q(s, a) - mean_k Q(s, a_k) for the batch's actions), ``log_prob`` (mean of log pi(a_k | s)),
        ``effective_sample_size`` of the weights (mean over the states, 1 to N; of ``batch`` over all, 1 to N B),
        ``qvalue`` and ``target_value``. Under ``reduction="none"`` each is [B], of ``batch`` the same number for all.
    """

    _coefficients: ClassVar = {
        name: rule
        for name, rule in AdvantageLoss._coefficients.items()  # noqa: SLF001  (of the base class)
        if name != "weight_max"  # the weights of a state sum to 1
    }
    _out_keys_per_row: ClassVar = ("loss_actor", "loss_qvalue", *_DIAGNOSTICS)
    _out_keys_reduced: ClassVar = _out_keys_per_row

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        temperature: float = 0.3,
        target_kl: float | None = None,
        samples: int = 20,
        weighting: Literal["samples", "batch"] = "samples",
        detach: bool = True,
        advantage_max: float | None = None,
        value_estimate: Literal["sample", "mean"] = "sample",
        value_samples: int = 1,
        value_bounds: tuple[float | None, float | None] = (None, None),
        num_qvalue_nets: int | None = None,
        reduction: Reduction | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            actor_network,
            qvalue_network,
            coefficients={"temperature": temperature, "advantage_max": advantage_max, "value_bounds": value_bounds},
            value_estimate=value_estimate,
            value_samples=value_samples,
            num_qvalue_nets=num_qvalue_nets,
            reduction=reduction,
            **options,
        )
        check_choice("weighting", weighting, ("samples", "batch"))
        if samples < (2 if weighting == "samples" else 1):
            raise ValueError(f"samples is {samples}, it must be at least {2 if weighting == 'samples' else 1}")
        if target_kl is not None and weighting != "samples":
            raise ValueError("target_kl is of the weights of a state's samples: weighting must be samples")
        self.samples, self.weighting, self.detach = samples, weighting, detach
        self.target_kl = None if target_kl is None else positive("target_kl", target_kl)
        if target_kl is not None:
            self.raw_temperature = nn.Parameter(torch.log(torch.expm1(self.temperature)))
            self._further_keys = ("loss_temperature", "temperature")

    def sampling_temperature(self) -> Tensor:
        """T as it stands, a scalar."""
        return self.temperature if self.target_kl is None else functional.softplus(self.raw_temperature)

    def temperature_loss(self, qvalues: Tensor) -> Tensor:
        """The dual for Q(s, a_k) [N, *B]; a scalar, with gradient to the temperature."""
        temperature = self.sampling_temperature()
        return temperature * ((self.target_kl or 0.0) + _log_mean_exp(qvalues.detach() / temperature).mean())

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Both losses and the diagnostics; shapes and keys in the class docstring."""
        batch = self._batch(tensordict)
        policy, next_policy = self._policies(batch, batch.get("next"))
        actions = policy.rsample((self.samples,))
        actions = actions.detach() if self.detach else actions
        sampled = [self._with_actions(batch, actions.detach())]
        if self.weighting == "batch":
            sampled.append(self._acting(batch, policy))
        qvalues, *values = self._qvalues(self._critics(), batch, *sampled, differentiated=1)
        loss_qvalue, critic = self._qvalue_terms(batch, qvalues, next_policy)
        likelihood = policy.log_prob(actions)
        if likelihood.shape != (self.samples, *batch.batch_size):
            raise BatchError(
                f"log-probabilities have shape {list(likelihood.shape)}, expected {[self.samples, *batch.batch_size]}",
                "The policy's distribution must sum over the dimensions of an action, as IndependentNormal does.",
            )
        of_samples, *of_state = (self._clamped_min(each).squeeze(-1) for each in values)
        weights, size = self._weighted(of_samples, of_state[0].mean(0) if of_state else None)
        loss_actor = self._reduce_loss(-(weights * likelihood).sum(0), weights=self._weights(batch))
        self._write_priority(tensordict, critic["td_error"])
        recorded = self._clamped_min(qvalues.detach()).squeeze(-1)
        terms = {
            "loss_actor": loss_actor,
            "loss_qvalue": loss_qvalue,
            "advantage": self._mean(recorded - of_samples.mean(0)),
            "log_prob": self._mean(likelihood.mean(0)),
            "effective_sample_size": self._mean(size),
        }
        if self.target_kl is not None:
            terms["loss_temperature"] = self.temperature_loss(of_samples)
            terms["temperature"] = self.sampling_temperature().detach()
        return self._output(terms | critic, batch)

    @torch.no_grad()
    def _weighted(self, qvalues: Tensor, value: Tensor | None) -> tuple[Tensor, Tensor]:
        """Weights [N, *B] for Q(s, a_k) [N, *B] and V(s) [*B], and how many samples count [*B]."""
        if value is None:
            weights = torch.softmax(qvalues / self.sampling_temperature(), 0)
            return weights, 1 / weights.square().sum(0)
        advantage = qvalues - value
        weights = softmax_weights(advantage, self.temperature, advantage_max=self.advantage_max) / self.samples
        return weights, effective_sample_size(weights).expand(value.shape)


def _log_mean_exp(values: Tensor) -> Tensor:
    """Over the first dimension."""
    return torch.logsumexp(values, 0) - math.log(len(values))
