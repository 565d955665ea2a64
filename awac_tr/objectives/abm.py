"""ABMLoss: a policy that imitates the better actions of a learnt prior (Siegel et al., 2020), as A.4 has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

import torch
from tensordict import TensorDict, TensorDictBase, TensorDictParams
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule, dispatch
from torch import Tensor, nn
from torch.distributions import Distribution

from awac_tr.objectives.advantage import AdvantageLoss
from awac_tr.objectives.base import check_choice, log_prob
from awac_tr.objectives.ensemble import parameters_in
from awac_tr.objectives.weights import WEIGHTS, indicator_weights, sign_weights, weight_diagnostics

__all__ = ["ABMLoss"]

_SCHEMES: Final = (*WEIGHTS, "indicator", "sign")
_DIAGNOSTICS: Final = ("advantage", "prior_advantage", "log_prob", "prior_log_prob", "qvalue", "target_value")


class ABMLoss(AdvantageLoss):
    r"""A.4 of Nair et al. (2020), after "Keep Doing What Worked" (Siegel et al., 2020).

    With A(s, a) = clamp(min_i Q_i(s, a)) - V(s), and V(s) that of the policy as in
    :class:`~awac_tr.objectives.AWACLoss`, whose critic loss this has as well:

    - prior: ``loss_prior = -mean_B f(A(s, a)) log pi_abm(a | s)`` over the batch's actions, ``f = 1[A > 0]``; a batch
      without any A > 0 gives 0;
    - actor: ``loss_actor = -mean_B w log pi(a' | s)`` with one detached ``a' ~ pi_abm(. | s)`` a state, and
      ``w = min(exp(A(s, a') / temperature), weight_max)``.

    No gradient flows through A, w or a'. All losses are evaluated at the parameters of before the step; each reaches
    its own network only, so that their sum may be differentiated in one pass.

    Args:
        actor_network: pi.
        prior_network: pi_abm, of the actor's keys, with parameters of its own.
        qvalue_network: Q, as in :class:`~awac_tr.objectives.AWACLoss`.

    Keyword Args:
        prior_weighting: f: ``indicator`` (A.4), or ``exp``, ``softmax``, ``sign`` as below.
        weighting: w: ``exp`` (A.4), ``softmax`` (batch size times a softmax over the batch), ``indicator``, or
            ``sign`` (softmax of the signs); the last three are of the authors' code.
        prior_value: whose action the V(s) of the prior's weights is taken at: of the ``policy`` (A.4), or a' of the
            ``prior`` (authors' code).
        advantage_max: cap on A before exp or softmax; None: none.
        weight_max: cap on w; None: none. The prior's weights have both caps too, where they are not indicators.
        options: the others of :class:`~awac_tr.objectives.AWACLoss`, with its meanings and ranges.

    Batch and errors: as of :class:`~awac_tr.objectives.AWACLoss`.

    Returns:
        From :meth:`forward`, scalars: ``loss_actor``, ``loss_prior`` and ``loss_qvalue``, and, detached, ``advantage``
        (mean of A over the batch's actions), ``prior_advantage`` (over those of the prior), ``prior_weight`` (mean of
        f; of the indicator the share of the batch that the prior imitates), ``effective_sample_size``,
        ``capped_fraction`` and ``weight_max`` of w, ``log_prob`` (mean of log pi(a' | s)), ``prior_log_prob`` (mean of
        log pi_abm(a | s)), ``qvalue`` and ``target_value``. Under ``reduction="none"`` each is [B], without
        ``prior_weight`` and the three of the weights.
    """

    _out_keys_per_row: ClassVar = ("loss_actor", "loss_prior", "loss_qvalue", *_DIAGNOSTICS)
    _out_keys_reduced: ClassVar = (
        *_out_keys_per_row,
        "prior_weight",
        "effective_sample_size",
        "capped_fraction",
        "weight_max",
    )

    prior_network: ProbabilisticTensorDictSequential
    prior_network_params: TensorDictParams
    target_prior_network_params: TensorDictParams

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        prior_network: ProbabilisticTensorDictSequential,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        temperature: float = 0.3,
        weighting: Literal["exp", "softmax", "indicator", "sign"] = "exp",
        prior_weighting: Literal["exp", "softmax", "indicator", "sign"] = "indicator",
        prior_value: Literal["policy", "prior"] = "policy",
        advantage_max: float | None = None,
        weight_max: float | None = 20.0,
        value_estimate: Literal["sample", "mean"] = "sample",
        value_samples: int = 1,
        value_bounds: tuple[float | None, float | None] = (None, None),
        num_qvalue_nets: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            actor_network,
            qvalue_network,
            coefficients={
                "temperature": temperature,
                "advantage_max": advantage_max,
                "weight_max": weight_max,
                "value_bounds": value_bounds,
            },
            value_estimate=value_estimate,
            value_samples=value_samples,
            num_qvalue_nets=num_qvalue_nets,
            **options,
        )
        check_choice("weighting", weighting, _SCHEMES)
        check_choice("prior_weighting", prior_weighting, _SCHEMES)
        check_choice("prior_value", prior_value, ("policy", "prior"))
        self.weighting, self.prior_weighting, self.prior_value = weighting, prior_weighting, prior_value
        if prior_network is actor_network:
            raise ValueError("the prior is the actor itself: give it parameters of its own, copy.deepcopy(actor)")
        if prior_network.in_keys != actor_network.in_keys:
            raise ValueError(f"the prior reads {prior_network.in_keys}, the actor {actor_network.in_keys}")
        self.convert_to_functional(prior_network, "prior_network")

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """The three losses and the diagnostics; shapes and keys in the class docstring."""
        batch = self._batch(tensordict)
        policy, next_policy = self._policies(batch, batch.get("next"))
        prior = self._prior(batch)
        with torch.no_grad():
            proposed = self._with_actions(batch, prior.sample((1,)))
        acting = self._acting(batch, policy)
        qvalues, value, of_proposed = self._qvalues(self._critics(), batch, acting, proposed, differentiated=1)
        loss_qvalue, critic = self._qvalue_terms(batch, qvalues, next_policy)
        recorded, better = self._clamped_min(qvalues.detach()), self._clamped_min(of_proposed)[0]
        value = self._clamped_min(value).mean(0)
        baseline = value if self.prior_value == "policy" else better
        loss_prior, of_prior = self._prior_terms(batch, (recorded - baseline).squeeze(-1), prior)
        action = proposed.get(self.tensor_keys.action)[0]
        loss_actor, actor = self._actor_terms(batch, (better - value).squeeze(-1), log_prob(policy, action, batch))
        actor["advantage"] = self._mean((recorded - value).squeeze(-1))
        self._write_priority(tensordict, critic["td_error"])
        losses = {"loss_actor": loss_actor, "loss_prior": loss_prior, "loss_qvalue": loss_qvalue}
        return self._output(losses | actor | of_prior | critic, batch)

    def _prior(self, batch: TensorDict) -> Distribution:
        network = self.prior_network
        with parameters_in(network, self.prior_network_params):
            prior: Distribution = network.get_dist(batch.select(*network.in_keys))
        return prior

    def _prior_terms(
        self, batch: TensorDict, advantage: Tensor, prior: Distribution
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The prior's loss for A(s, a) [*B] without gradient, and what there is to say of it."""
        likelihood = log_prob(prior, batch.get(self.tensor_keys.action), batch)
        weights = self._weighted(self.prior_weighting, advantage)
        diagnostics = {"prior_log_prob": self._mean(likelihood), "prior_weight": weights.mean()}
        return self._reduce_loss(-weights * likelihood, weights=self._weights(batch)), diagnostics

    def _actor_terms(
        self, batch: TensorDict, advantage: Tensor, likelihood: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The actor's loss for A(s, a') [*B] without gradient and log pi(a' | s) [*B]."""
        caps = {"advantage_max": self.advantage_max, "weight_max": self.weight_max}
        weights = self._weighted(self.weighting, advantage)
        diagnostics = weight_diagnostics(advantage, weights, **caps)
        diagnostics |= {"prior_advantage": self._mean(advantage), "log_prob": self._mean(likelihood)}
        return self._reduce_loss(-weights * likelihood, weights=self._weights(batch)), diagnostics

    def _weighted(self, scheme: str, advantage: Tensor) -> Tensor:
        caps = {"advantage_max": self.advantage_max, "weight_max": self.weight_max}
        if scheme == "indicator":
            return indicator_weights(advantage)
        return (sign_weights if scheme == "sign" else WEIGHTS[scheme])(advantage, self.temperature, **caps)
