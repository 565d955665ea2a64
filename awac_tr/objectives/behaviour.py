"""A Gaussian model of the behaviour that made the data, beside a policy that learns."""

from __future__ import annotations

from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.distributions import Distribution

from awac_tr.objectives.base import log_prob
from awac_tr.objectives.bc import BCLoss
from awac_tr.objectives.ensemble import parameters_in

__all__ = ["BehaviourModel"]


class BehaviourModel(BCLoss):
    """pi_b(a | s), learnt by maximum likelihood on the batches of the policy's own updates; no weights (A.4).

    Args:
        actor_network: pi_b, a network of its own; the others are those of :class:`BCLoss`.
    """

    def fit(self, tensordict: TensorDictBase) -> TensorDict:
        """Its loss on a batch [B]: ``loss_behaviour = -mean log pi_b(a | s)``, and ``behaviour_log_prob``, detached."""
        out = self(tensordict)
        return TensorDict({"loss_behaviour": out["loss_actor"], "behaviour_log_prob": out["log_prob"]})

    def distribution(self, batch: TensorDict) -> Distribution:
        """pi_b(. | s) for states [*B], without gradient to pi_b."""
        network = self.actor_network
        with parameters_in(network, self.actor_network_params.detach()):
            model: Distribution = network.get_dist(batch.select(*network.in_keys))
        return model

    def likelihood(self, batch: TensorDict, action: Tensor) -> Tensor:
        """Log pi_b(a | s), [*B], for states [*B] and actions [*B, a]; gradient flows to the actions, never to pi_b.

        Raises:
            BatchError: the distribution does not sum over the dimensions of an action.
        """
        return log_prob(self.distribution(batch), action, batch)
