"""Policies that draw several actions and take the one that a critic values most (BEAR, BCQ)."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from torch import Tensor, nn

from awac_tr.keys import ACTION, OBSERVATION
from awac_tr.models.cvae import CVAENet, PerturbationNet

__all__ = ["BestOfCVAE", "BestOfPolicy", "BestOfSamples", "share_parameters"]


class BestOfSamples(TensorDictModuleBase):
    """``argmax_k Q(s, a_k)`` over ``samples`` actions; subclasses say in :meth:`candidates` where they come from.

    Called, it draws from torch's global generator, also where TorchRL's exploration type is deterministic.

    Args:
        qvalue: Q, from ``observation`` [..., o] and ``action`` [..., a] to [..., 1].
        samples: K, at least 1.
    """

    in_keys = [OBSERVATION]  # noqa: RUF012  (as TensorDict has it)
    out_keys = [ACTION]  # noqa: RUF012
    noise_size: int
    """Normal numbers that one candidate is made of."""

    def __init__(self, qvalue: nn.Module, samples: int) -> None:
        super().__init__()
        self.qvalue, self.samples = qvalue, samples

    def candidates(self, observation: Tensor, noise: Tensor) -> Tensor:
        """Actions [K, *B, a] for observations [K, *B, o] and standard normal numbers [K, *B, noise_size]."""
        raise NotImplementedError

    @torch.no_grad()
    def best(self, observation: Tensor, noise: Tensor) -> Tensor:
        """The candidate of the largest Q, [*B, a], for observations [*B, o] and noise [K, *B, noise_size]."""
        states = observation.expand(len(noise), *observation.shape)
        actions = self.candidates(states, noise)
        choice = self.qvalue(states, actions).argmax(0, keepdim=True)
        chosen: Tensor = actions.take_along_dim(choice, 0).squeeze(0)
        return chosen

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the action into the TensorDict, and return it."""
        observation = tensordict.get(OBSERVATION)
        size = (self.samples, *observation.shape[:-1], self.noise_size)
        noise = torch.randn(size, device=observation.device, dtype=observation.dtype)
        return tensordict.set(ACTION, self.best(observation, noise))


class BestOfPolicy(BestOfSamples):
    """The best of a policy's own samples.

    Args:
        policy: as :func:`~awac_tr.models.build.build_policy` makes it.
        qvalue: as of :class:`BestOfSamples`.
        samples: likewise.
    """

    def __init__(self, policy: ProbabilisticTensorDictSequential, qvalue: nn.Module, samples: int) -> None:
        super().__init__(qvalue, samples)
        self.policy = policy
        net: Any = policy[0].module
        self.noise_size = net.mlp.last.out_features

    def candidates(self, observation: Tensor, noise: Tensor) -> Tensor:
        """``loc + scale * noise``, squashed where the policy squashes."""
        network, sampler = self.policy
        states = network(TensorDict({OBSERVATION: observation}, batch_size=observation.shape[:-1]))
        action: Tensor = states["loc"] + states["scale"] * noise
        for transform in getattr(sampler.get_dist(states), "transforms", ()):
            action = transform(action)
        return action


class BestOfCVAE(BestOfSamples):
    """The best of a CVAE's actions, each perturbed: what BCQ is.

    Args:
        cvae: of which the decoder is used.
        perturbation: changes each action a little.
        qvalue: as of :class:`BestOfSamples`.
        samples: likewise.
    """

    def __init__(self, cvae: CVAENet, perturbation: PerturbationNet, qvalue: nn.Module, samples: int) -> None:
        super().__init__(qvalue, samples)
        self.cvae, self.perturbation = cvae, perturbation
        self.noise_size = cvae.latent_size

    def candidates(self, observation: Tensor, noise: Tensor) -> Tensor:
        """``xi(s, G(s, z))`` with z the noise, clamped to where latents lie."""
        actions = self.cvae.action(self.cvae.decode(observation, self.cvae.clamp_latent(noise)))
        perturbed: Tensor = self.perturbation(observation, actions)
        return perturbed


def share_parameters(network: nn.Module, params: TensorDictBase) -> None:
    """Have a network's parameters and buffers be views of those of a loss, so that it acts as they stand.

    Args:
        network: of the same architecture; its own values are lost, and it takes no gradient.
        params: its parameters, one critic's of a stack for example. Whatever changes them in place, an optimiser or
            ``load_state_dict``, changes the network too.
    """
    for name, value in params.flatten_keys(".").items():
        *path, leaf = str(name).split(".")
        part = network.get_submodule(".".join(path))
        if leaf in part._parameters:  # noqa: SLF001  (assignment by attribute refuses a buffer for a parameter)
            setattr(part, leaf, nn.Parameter(value.data, requires_grad=False))
        else:
            setattr(part, leaf, value.data)
