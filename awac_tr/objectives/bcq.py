"""BCQLoss: the best of the data's own actions, each perturbed a little (Fujimoto et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, dispatch
from torch import Tensor, nn
from torch.distributions import Distribution

from awac_tr.objectives.batch_constrained import BatchConstrainedLoss
from awac_tr.objectives.cvae import CVAENetwork
from awac_tr.objectives.ensemble import parameters_in

__all__ = ["BCQLoss"]


class BCQLoss(BatchConstrainedLoss):
    r"""Batch-constrained Q-learning, with a CVAE ``G(s, z)`` of the data and a perturbation ``xi``.

    - critic: Eq. 3 with the best mixed value (:func:`~.batch_constrained.best_mixed_value`) of ``next_samples`` actions
      ``xi_target(s', G(s', z))``;
    - perturbation: ``loss_actor = -mean_B Q_1(s, xi(s, G(s, z)))``, one z a state;
    - CVAE: :func:`~.cvae.cvae_loss`.

    A target follows the perturbation as well as the critics.

    Args:
        perturbation_network: xi: it reads ``observation`` and ``action``, and writes the perturbed ``action``.
        cvae_network: G and its encoder; it learns by ``cvae.fit`` alone.
        qvalue_network: Q, as in :class:`~awac_tr.objectives.AWACLoss`.

    Keyword Args:
        next_samples: actions at the next state, at least 1.
        options: those of :class:`~.batch_constrained.BatchConstrainedLoss`.

    Batch and errors: as of :class:`~awac_tr.objectives.AWACLoss`.

    Returns:
        From :meth:`forward`, scalars: ``loss_cvae``, ``loss_qvalue`` and ``loss_actor``, each with gradient to its own
        network only, and, detached, ``actor_qvalue``, ``qvalue``, ``target_value``, ``cvae_error`` and ``cvae_kl``.
    """

    _target_actor: ClassVar = True
    _out_keys_reduced: ClassVar = (
        "loss_cvae", "loss_qvalue", "loss_actor", "actor_qvalue", "qvalue", "target_value", "cvae_error", "cvae_kl",
    )  # fmt: skip

    def __init__(
        self,
        perturbation_network: TensorDictModule,
        cvae_network: CVAENetwork,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        next_samples: int = 10,
        **options: Any,
    ) -> None:
        super().__init__(perturbation_network, cvae_network, qvalue_network, **options)
        if next_samples < 1:
            raise ValueError(f"next_samples is {next_samples}, it must be at least 1")
        self.next_samples = next_samples

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """All losses and the diagnostics; shapes and keys in the class docstring."""
        batch = self._batch(tensordict)
        fitted, critic, actor = self.cvae.fit(batch), self.critic_losses(batch), self.actor_losses(batch)
        return self._output({**fitted.to_dict(), **critic.to_dict(), **actor.to_dict()}, batch)

    def next_actions(self, following: TensorDict, policy: Distribution) -> Tensor:
        """``next_samples`` actions of the CVAE, perturbed by the target."""
        del policy
        return self._perturbed(following, self.next_samples, self.target_actor_network_params)

    def actor_losses(self, tensordict: TensorDictBase) -> TensorDict:
        """``loss_actor`` of the perturbation on a batch [B], and ``actor_qvalue``."""
        batch = self._batch(tensordict)
        (actions,) = self._perturbed(batch, 1, self.actor_network_params)
        states = batch.exclude("next").set(self.tensor_keys.action, actions)
        (qvalues,) = self._qvalues(self.qvalue_network_params[:1].detach(), states)
        loss = self._reduce_loss(-qvalues[0].squeeze(-1), weights=self._weights(batch))
        return TensorDict({"loss_actor": loss, "actor_qvalue": qvalues.detach().mean()})

    def _perturbed(self, states: TensorDict, count: int, params: TensorDictBase) -> Tensor:
        """``xi(s, G(s, z))``, [count, *B, action_size] for states [*B]."""
        _, actions = self.cvae.sample(states, count)
        with parameters_in(self.actor_network, params):
            perturbed: Tensor = self.actor_network(self._with_actions(states, actions)).get(self.tensor_keys.action)
            return perturbed

    def _policies(self, *states: TensorDictBase) -> tuple[Distribution, ...]:
        """There is no policy: actions are drawn from the CVAE."""
        return (cast("Distribution", None),) * len(states)
