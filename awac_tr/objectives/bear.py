"""BEARLoss: an actor that climbs its critics and stays near the support of the data (Kumar et al., 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Literal

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule, dispatch
from torch import Tensor, nn
from torch.distributions import Distribution, TransformedDistribution

from awac_tr.objectives.advantage import cap, positive
from awac_tr.objectives.base import check_choice
from awac_tr.objectives.batch_constrained import BatchConstrainedLoss
from awac_tr.objectives.cvae import CVAENetwork

__all__ = ["KERNELS", "BEARLoss", "KernelName", "mean_discrepancy"]

KernelName = Literal["laplacian", "gaussian"]

KERNELS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "laplacian": lambda difference: difference.abs().sum(-1),
    "gaussian": lambda difference: difference.square().sum(-1),
}
"""Kernel -> the distance of which it is the exponential."""

_ROOT_AT_ZERO: Final = 1e-6


def mean_discrepancy(x: Tensor, y: Tensor, kernel: KernelName, bandwidth: float) -> Tensor:
    """The sampled maximum mean discrepancy of two sets of actions, state by state (Kumar et al., section 5.1).

    ``sqrt(mean k(x, x') + mean k(y, y') - 2 mean k(x, y) + 1e-6)``, pairs of an action with itself included, with
    ``k = exp(-|.|_1 / (2 sigma))`` (laplacian) or ``exp(-|.|_2^2 / (2 sigma))`` (gaussian): sigma, not its square.

    Args:
        x: [N, *B, action_size].
        y: [M, *B, action_size].
        kernel: laplacian or gaussian.
        bandwidth: sigma, above 0.

    Returns:
        [*B], from 0.001 on.

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, -0.5]])
        >>> y = torch.tensor([[0.0, 1.0], [0.25, 0.25], [-1.0, 0.0]])
        >>> round(float(mean_discrepancy(x, y, "laplacian", 10.0)), 4)
        0.2294
    """
    distance = KERNELS[kernel]

    def alike(some: Tensor, others: Tensor) -> Tensor:
        return torch.exp(-distance(some.unsqueeze(0) - others.unsqueeze(1)) / (2 * bandwidth)).mean((0, 1))

    return (alike(x, x) + alike(y, y) - 2 * alike(x, y) + _ROOT_AT_ZERO).sqrt()


class BEARLoss(BatchConstrainedLoss):
    r"""Bootstrapping error accumulation reduction, as rlkit has it, with a CVAE of the data.

    With a_1 ... a_N of the policy by reparameterisation, b_1 ... b_N of the CVAE, and alpha = exp(``log_multiplier``):

    - critic: Eq. 3 with the best mixed value (:func:`~.batch_constrained.best_mixed_value`) of ``next_samples`` actions
      of the policy;
    - actor: ``loss_actor = mean_B -minQ(s, a_1) + alpha (MMD(s) - epsilon)``, of which the first ``warm_start`` updates
      have the second term only; MMD is :func:`mean_discrepancy` of actions before their tanh;
    - multiplier: ``loss_multiplier = -alpha mean_B (MMD - epsilon)``, so that alpha rises while MMD is above epsilon.

    Args:
        actor_network: pi, a tanh-squashed Gaussian.
        cvae_network: the model of the data, with parameters of its own; it learns by ``cvae.fit`` alone.
        qvalue_network: Q, as in :class:`~awac_tr.objectives.AWACLoss`.

    Keyword Args:
        kernel: ``laplacian`` or ``gaussian``.
        bandwidth: sigma of the kernel.
        samples: N.
        next_samples: actions at the next state.
        threshold: epsilon.
        late_threshold: epsilon from update ``late_from`` on.
        late_from: None: never.
        warm_start: updates without the critics in the actor's loss.
        options: those of :class:`~.batch_constrained.BatchConstrainedLoss`.

    Attributes:
        updates: how many updates were made; whoever makes them counts it up.

    Batch and errors: as of :class:`~awac_tr.objectives.AWACLoss`.

    Returns:
        From :meth:`forward`, scalars: ``loss_cvae``, ``loss_qvalue``, ``loss_actor`` and ``loss_multiplier``, each with
        gradient to its own parameters only, and, detached, ``mmd``, ``multiplier``, ``threshold``, ``actor_qvalue``,
        ``qvalue``, ``target_value``, ``cvae_error`` and ``cvae_kl``.
    """

    _coefficients: ClassVar = {
        "threshold": lambda value: positive("threshold", value),
        "late_threshold": lambda value: positive("late_threshold", value),
        "late_from": lambda value: cap("late_from", value),
        "warm_start": lambda value: cap("warm_start", value),
    }
    _out_keys_reduced: ClassVar = (
        "loss_cvae", "loss_qvalue", "loss_actor", "loss_multiplier", "mmd", "multiplier", "threshold", "actor_qvalue",
        "qvalue", "target_value", "cvae_error", "cvae_kl",
    )  # fmt: skip

    threshold: Tensor
    late_threshold: Tensor
    late_from: Tensor
    warm_start: Tensor
    updates: Tensor

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        cvae_network: CVAENetwork,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        kernel: KernelName = "laplacian",
        bandwidth: float = 50.0,
        samples: int = 10,
        next_samples: int = 10,
        threshold: float = 0.05,
        late_threshold: float = 0.05,
        late_from: float | None = None,
        warm_start: float = 20_000,
        **options: Any,
    ) -> None:
        super().__init__(actor_network, cvae_network, qvalue_network, **options)
        check_choice("kernel", kernel, tuple(KERNELS))
        if min(samples, next_samples) < 1:
            raise ValueError(f"samples and next_samples are {samples} and {next_samples}, they must be at least 1")
        self.kernel: KernelName = kernel
        self.bandwidth = positive("bandwidth", bandwidth)
        self.samples, self.next_samples = samples, next_samples
        self._register_coefficients(
            threshold=threshold, late_threshold=late_threshold, late_from=late_from, warm_start=warm_start
        )
        self.log_multiplier = nn.Parameter(torch.zeros_like(self.threshold))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64, device=self.threshold.device))

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """All losses and the diagnostics; shapes and keys in the class docstring."""
        batch = self._batch(tensordict)
        fitted, critic, actor = self.cvae.fit(batch), self.critic_losses(batch), self.actor_losses(batch)
        return self._output({**fitted.to_dict(), **critic.to_dict(), **actor.to_dict()}, batch)

    def next_actions(self, following: TensorDict, policy: Distribution) -> Tensor:
        """``next_samples`` actions of the policy."""
        del following
        return policy.sample((self.next_samples,))

    def actor_losses(self, tensordict: TensorDictBase) -> TensorDict:
        """``loss_actor`` and ``loss_multiplier`` on a batch [B], and what there is to say of them."""
        batch = self._batch(tensordict)
        (policy,) = self._policies(batch)
        raw, actions = _samples(policy, self.samples)
        modelled, _ = self.cvae.sample(batch, self.samples)
        discrepancy = mean_discrepancy(raw, modelled, self.kernel, self.bandwidth)
        states = batch.exclude("next").set(self.tensor_keys.action, actions[0])
        (qvalues,) = self._qvalues(self.qvalue_network_params.detach(), states)
        lowest = qvalues.min(0)[0].squeeze(-1)
        threshold = torch.where(self.updates >= self.late_from, self.late_threshold, self.threshold)
        warm = (self.updates >= self.warm_start).to(lowest.dtype)
        multiplier, excess = self.log_multiplier.exp(), discrepancy - threshold
        terms = {
            "loss_actor": self._reduce_loss(multiplier.detach() * excess - warm * lowest, weights=self._weights(batch)),
            "loss_multiplier": -multiplier * excess.detach().mean(),
            "mmd": discrepancy.detach().mean(),
            "multiplier": multiplier.detach(),
            "threshold": threshold,
            "actor_qvalue": lowest.detach().mean(),
        }
        return TensorDict(terms)


def _samples(policy: Distribution, count: int) -> tuple[Tensor, Tensor]:
    """Actions by reparameterisation before and after their tanh, [count, *B, action_size] each.

    Raises:
        TypeError: a distribution that is not squashed.
    """
    if not isinstance(policy, TransformedDistribution):
        raise TypeError(
            f"BEAR compares actions before their tanh, and {type(policy).__name__} has none: use TanhNormal"
        )
    raw = policy.base_dist.rsample((count,))
    actions = raw
    for transform in policy.transforms:
        actions = transform(actions)
    return raw, actions
