"""A conditional variational autoencoder of the behaviour that made the data, beside a policy that learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase, TensorDictParams
from torch import Tensor
from torchrl.objectives import LossModule

from awac_tr.keys import ACTION, OBSERVATION
from awac_tr.objectives.batch import working_copy
from awac_tr.objectives.ensemble import parameters_in

if TYPE_CHECKING:
    from tensordict.nn import TensorDictModule

__all__ = ["CVAEModel", "CVAENetwork", "cvae_loss"]


class CVAENetwork(Protocol):
    """A CVAE of actions, :class:`awac_tr.models.cvae.CVAENet` for example; an ``nn.Module``."""

    latent_size: int

    def __call__(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Action and reconstruction [..., a] in units of the bounds; mean and deviation of the latent [..., z]."""

    def clamp_latent(self, latent: Tensor) -> Tensor:
        """A drawn latent [..., z] as it is decoded."""

    def decode(self, observation: Tensor, latent: Tensor) -> Tensor:
        """The action of a latent before its tanh, [..., a]."""

    def action(self, raw: Tensor) -> Tensor:
        """The same as an action in its own units, [..., a]."""


def cvae_loss(action: Tensor, reconstruction: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the loss; their weights are those of BCQ's code, a mean over both batch and latent.

    Args:
        action: [B, action_size], in units of its bounds.
        reconstruction: [B, action_size].
        mean: of the latent, [B, latent_size].
        std: of the latent, [B, latent_size].

    Returns:
        ``mean (reconstruction - action)^2``, and the mean of ``KL(N(mean, std^2) || N(0, 1))``, both scalars; the loss
        is the first plus half the second.

    Example:
        >>> a, recon = torch.tensor([[0.0, 0.0, 0.5]]), torch.tensor([[0.1, -0.2, 0.3]])
        >>> [round(float(term), 3) for term in cvae_loss(a, recon, torch.tensor([[0.5, -1]]), torch.tensor([[0.5, 2]]))]
        [0.03, 0.875]
    """
    divergence = -0.5 * (1 + 2 * std.log() - mean.square() - std.square())
    return (reconstruction - action).square().mean(), divergence.mean()


class CVAEModel(LossModule):
    """A CVAE that is fitted to the batches of the policy's own updates, and draws actions like theirs.

    Args:
        cvae_network: with parameters of its own.

    Batch: ``observation`` [B, observation_size] and ``action`` [B, action_size]; not written to.
    """

    @dataclass
    class _AcceptedKeys:
        """Keys that ``set_keys(name=key)`` changes.

        Attributes:
            action: recorded actions [B, action_size].
            observation: observations [B, observation_size].
        """

        action: NestedKey = ACTION
        observation: NestedKey = OBSERVATION

    default_keys = _AcceptedKeys
    tensor_keys: _AcceptedKeys
    cvae_network: Any
    cvae_network_params: TensorDictParams
    target_cvae_network_params: TensorDictParams

    def __init__(self, cvae_network: CVAENetwork) -> None:
        super().__init__()
        self.convert_to_functional(cast("TensorDictModule", cvae_network), "cvae_network")

    def _forward_value_estimator_keys(self, **_: NestedKey) -> None:
        """There is no value estimator."""

    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """As :meth:`fit`."""
        return self.fit(tensordict)

    def fit(self, tensordict: TensorDictBase) -> TensorDict:
        """``loss_cvae`` on a batch [B], and, detached, ``cvae_error`` (squared) and ``cvae_kl``.

        Raises:
            BatchError: an entry is missing or has the wrong shape.
        """
        keys = self.tensor_keys
        batch = working_copy(tensordict, keys.action, [keys.observation])
        with parameters_in(self.cvae_network, self.cvae_network_params):
            outputs = self.cvae_network(batch.get(keys.observation), tensordict.get(keys.action))
        error, divergence = cvae_loss(*outputs)
        terms = {"loss_cvae": error + 0.5 * divergence, "cvae_error": error.detach(), "cvae_kl": divergence.detach()}
        return TensorDict(terms)

    @torch.no_grad()
    def sample(self, states: TensorDictBase, count: int) -> tuple[Tensor, Tensor]:
        """Actions as the data has them, without gradient.

        Args:
            states: [*B] with ``observation``.
            count: how many K for each state.

        Returns:
            Before the tanh and as actions, [K, *B, action_size] each.
        """
        observation = states.get(self.tensor_keys.observation)
        observation = observation.expand(count, *observation.shape)
        network = self.cvae_network
        size = (*observation.shape[:-1], network.latent_size)
        latent = torch.randn(size, device=observation.device, dtype=observation.dtype)
        with parameters_in(network, self.cvae_network_params):
            raw = network.decode(observation, network.clamp_latent(latent))
            return raw, network.action(raw)
