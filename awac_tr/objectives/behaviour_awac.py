"""BehaviourAWACLoss: AWAC with a model of the behaviour, for what the paper leaves out or tried (A.3, section 5.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from tensordict import TensorDict
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule
from torch import Tensor, nn
from torch.distributions import Distribution

from awac_tr.objectives.advantage import positive
from awac_tr.objectives.awac import AWACLoss
from awac_tr.objectives.behaviour import BehaviourModel

__all__ = ["BehaviourAWACLoss", "gaussian_kl", "log_partition"]


def log_partition(advantage: Tensor, temperature: float | Tensor) -> Tensor:
    """``log Z(s) = logsumexp_k(A(s, a_k) / lambda) - log K``, the normaliser of Eq. 16 by K actions of pi_b.

    Args:
        advantage: A(s, a_k), [K, *B].
        temperature: lambda.

    Returns:
        [*B].

    Example:
        >>> values = torch.tensor([[0.5, -2.0], [-0.5, -1.0], [1.0, 0.0]])
        >>> [round(float(value), 4) for value in log_partition(values, 0.3)]
        [2.4134, -1.0623]
    """
    return torch.logsumexp(advantage / temperature, 0) - math.log(len(advantage))


def gaussian_kl(policy: Distribution, model: Distribution) -> Tensor:
    """``KL(pi || pi_b)`` of two Gaussians, [*B]; squashed alike by the same function, theirs is the same.

    ``sum_j log(sigma_b / sigma) + (sigma^2 + (mu - mu_b)^2) / (2 sigma_b^2) - 1/2``; torch's own cannot be compiled.
    """
    mine, other = _normal(policy), _normal(model)
    ratio = (mine.scale / other.scale).square()
    distance = ((mine.loc - other.loc) / other.scale).square()
    kl: Tensor = 0.5 * (ratio + distance - 1 - ratio.log()).sum(-1)
    return kl


def _normal(distribution: Any) -> Any:
    """The Normal within ``IndependentNormal`` or ``TanhNormal``."""
    while hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    return distribution


class BehaviourAWACLoss(AWACLoss):
    r"""AWACLoss with a Gaussian model pi_b of the data, which learns by ``behaviour.fit`` alone.

    - ``partition_samples`` K: weights are ``exp(A / lambda) / Z(s)``, by :func:`log_partition` of K actions of pi_b;
      with ``softmax`` weighting the softmax is that of ``A / lambda - log Z(s)``. The paper leaves Z out (A.3).
    - ``target_kl`` epsilon: lambda is the exponential of a parameter ``log_temperature``, which begins at
      ``temperature`` and descends ``-lambda (KL(pi || pi_b) - epsilon)`` (the dual of Eq. 14, as the authors' code has
      it), so that it rises while the policy is further than epsilon from the data. The lambda of a batch is that of
      before its step.

    Args:
        actor_network: pi.
        behaviour_network: pi_b, a network of its own.
        qvalue_network: Q, as in :class:`AWACLoss`.

    Keyword Args:
        partition_samples: K; 0: no Z(s).
        target_kl: epsilon, in nats; None: lambda is fixed.
        options: those of :class:`AWACLoss`.

    Batch, errors and returns: as of :class:`AWACLoss`; with K also ``log_partition`` (mean), with epsilon also
    ``loss_temperature``, ``kl`` (mean) and ``temperature``.
    """

    _coefficients: ClassVar = {
        **AWACLoss._coefficients,  # noqa: SLF001  (of the base class)
        "target_kl": lambda value: math.inf if value is None else positive("target_kl", value),
    }

    target_kl: Tensor

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        behaviour_network: ProbabilisticTensorDictSequential,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        partition_samples: int = 0,
        target_kl: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(actor_network, qvalue_network, **options)
        if behaviour_network is actor_network:
            raise ValueError("the model is the actor itself: give it parameters of its own, copy.deepcopy(actor)")
        if partition_samples < 0:
            raise ValueError(f"partition_samples is {partition_samples}, it must be at least 0")
        self.behaviour = BehaviourModel(behaviour_network)
        self.partition_samples, self.adaptive = partition_samples, target_kl is not None
        self._register_coefficients(target_kl=target_kl)
        if self.adaptive:
            self.log_temperature = nn.Parameter(self.temperature.log())
        further = ("log_partition",) if partition_samples else ()
        self._further_keys = (*further, *(("loss_temperature", "kl", "temperature") if self.adaptive else ()))

    def weighing_temperature(self) -> Tensor:
        """Lambda as it stands, without gradient."""
        return self.log_temperature.detach().exp() if self.adaptive else self.temperature

    def _actor_terms(
        self, batch: TensorDict, qvalues: Tensor, acting: Tensor, policy: Distribution
    ) -> tuple[Tensor, dict[str, Tensor]]:
        loss, terms = super()._actor_terms(batch, qvalues, acting, policy)
        if self.adaptive:
            kl = gaussian_kl(policy, self.behaviour.distribution(batch)).detach()
            terms["loss_temperature"] = -self.log_temperature.exp() * self._reduce_loss(kl - self.target_kl)
            terms |= {"kl": self._mean(kl), "temperature": self.weighing_temperature()}
        return loss, terms

    def _weighed(self, batch: TensorDict, advantage: Tensor, value: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if not self.partition_samples:
            return advantage, {}
        log_z = log_partition(self._advantages_of_model(batch, value), self.weighing_temperature())
        return advantage - self.weighing_temperature() * log_z, {"log_partition": self._mean(log_z)}

    @torch.no_grad()
    def _advantages_of_model(self, batch: TensorDict, value: Tensor) -> Tensor:
        """A(s, a_k) for K actions of pi_b, [K, *B]."""
        actions = self.behaviour.distribution(batch).sample((self.partition_samples,))
        (qvalues,) = self._qvalues(self._critics(), self._with_actions(batch, actions))
        advantages: Tensor = (self._clamped_min(qvalues) - value).squeeze(-1)
        return advantages

    def temperature_groups(self, learning_rate: float) -> list[tuple[list[nn.Parameter], float, float]]:
        """Parameters, rate and weight decay for an optimiser; none where lambda is fixed."""
        return [([self.log_temperature], learning_rate, 0.0)] if self.adaptive else []
