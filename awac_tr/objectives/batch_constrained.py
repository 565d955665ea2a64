"""What BEAR and BCQ share: a CVAE of the data, and targets that take the best of several actions near the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule
from torch import Tensor, nn
from torch.distributions import Distribution

from awac_tr.objectives.actor_critic import ActorCriticLoss
from awac_tr.objectives.cvae import CVAEModel, CVAENetwork

__all__ = ["BatchConstrainedLoss", "best_mixed_value"]


def best_mixed_value(qvalues: Tensor, minimum_weight: float) -> Tensor:
    """``max_k [w min_i Q_i(s, a_k) + (1 - w) max_i Q_i(s, a_k)]``: mixed first, then the best (BCQ, Eq. 13).

    Args:
        qvalues: Q_i(s, a_k) of N critics for K actions, [N, K, *B, 1].
        minimum_weight: w, in [0, 1].

    Returns:
        [*B, 1].

    Example:
        >>> import torch
        >>> q = torch.tensor([[1.0, 3.0, 2.0], [2.0, 1.0, 2.5]]).reshape(2, 3, 1)
        >>> best_mixed_value(q, 0.75)
        tensor([2.1250])
    """
    return (minimum_weight * qvalues.amin(0) + (1 - minimum_weight) * qvalues.amax(0)).amax(0)


class BatchConstrainedLoss(ActorCriticLoss):
    """Eq. 3 with :func:`best_mixed_value` of the target critics at :meth:`next_actions`, and a CVAE beside it.

    Args:
        actor_network: what learns to act.
        cvae_network: the model of the data, with parameters of its own; it learns by ``cvae.fit`` alone.
        qvalue_network: Q, as in :class:`~awac_tr.objectives.AWACLoss`.

    Keyword Args:
        minimum_weight: w of :func:`best_mixed_value`, in [0, 1].
        options: those of ``ActorCriticLoss``, see :class:`~awac_tr.objectives.AWACLoss`.
    """

    def __init__(
        self,
        actor_network: Any,
        cvae_network: CVAENetwork,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        minimum_weight: float = 0.75,
        **options: Any,
    ) -> None:
        super().__init__(actor_network, qvalue_network, **options)
        if not 0 <= minimum_weight <= 1:
            raise ValueError(f"minimum_weight is {minimum_weight}, it must be from 0 to 1")
        self.minimum_weight = minimum_weight
        self.cvae = CVAEModel(cvae_network)

    def next_actions(self, following: TensorDict, policy: Distribution) -> Tensor:
        """The actions a_k at next states [*B] among which the best counts, [K, *B, action_size]."""
        raise NotImplementedError

    def next_value(self, following: TensorDict, policy: Distribution) -> Tensor:
        """The best mixed value of the target critics, [*B, 1]."""
        actions = self.next_actions(following, policy)
        states = self._with_actions(following, actions)
        return best_mixed_value(self._target_qvalues(states, actions), self.minimum_weight)

    def critic_losses(self, tensordict: TensorDictBase) -> TensorDict:
        """``loss_qvalue`` on a batch [B], with gradient to the critics only; ``qvalue`` and ``target_value``."""
        loss, metadata = self.qvalue_loss(tensordict)
        return TensorDict({"loss_qvalue": loss, **metadata.exclude("td_error").to_dict()})
