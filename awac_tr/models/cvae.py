"""A conditional variational autoencoder of actions (Fujimoto et al., 2019, section 5): the model of BEAR and BCQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy.typing as npt
import torch
from torch import Tensor, nn

from awac_tr.models.build import action_range
from awac_tr.models.networks import MLP, Precision, Standardizer

__all__ = ["CVAENet", "PerturbationNet", "build_cvae", "build_perturbation"]

_LOG_STD: Final = (-4.0, 15.0)
_LATENT_MAX: Final = 0.5
"""Latents that are decoded lie this near to 0 in every dimension (BCQ; BEAR), where the decoder has seen data."""


class _Bounded(nn.Module):
    """Knows the bounds of actions: centre and half-width [action_size]; None: -1 and 1."""

    centre: Tensor | None
    half_width: Tensor | None

    def __init__(self, affine: tuple[Tensor, Tensor] | None) -> None:
        super().__init__()
        self.register_buffer("centre", None if affine is None else affine[0])
        self.register_buffer("half_width", None if affine is None else affine[1])

    def to_unit(self, action: Tensor) -> Tensor:
        """An action [..., a] in units of its bounds."""
        if self.centre is None or self.half_width is None:
            return action
        return (action - self.centre) / self.half_width

    def from_unit(self, unit: Tensor) -> Tensor:
        """Back from :meth:`to_unit`."""
        if self.centre is None or self.half_width is None:
            return unit
        return self.centre + self.half_width * unit


class CVAENet(_Bounded):
    """Encoder (s, a) -> N(mean, std^2) of a latent, decoder (s, latent) -> a, two MLPs.

    Actions are seen and made in units of their bounds, [-1, 1]. The encoder's log deviation is clamped to [-4, 15].

    Args:
        observation_size: features of an observation, which are standardised.
        action_size: dimensions of an action.
        hidden_sizes: of both MLPs.
        activation: as in :class:`~awac_tr.models.networks.MLP`.
        latent_size: dimensions of the latent; None: twice those of an action.
        affine: (centre [action_size], half-width [action_size]) of the action bounds; None: -1 and 1.
        precision: as in :class:`~awac_tr.models.networks.MLP`.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: Sequence[int] = (750, 750),
        activation: str = "relu",
        *,
        latent_size: int | None = None,
        affine: tuple[Tensor, Tensor] | None = None,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__(affine)
        self.latent_size = 2 * action_size if latent_size is None else latent_size
        self.standardize = Standardizer(observation_size)
        sizes = (observation_size + action_size, hidden_sizes, 2 * self.latent_size)
        self.encoder = MLP(*sizes, activation, precision=precision)
        sizes = (observation_size + self.latent_size, hidden_sizes, action_size)
        self.decoder = MLP(*sizes, activation, precision=precision)

    def forward(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """An action and what is made of it.

        Args:
            observation: [..., observation_size].
            action: [..., action_size], in its own units.

        Returns:
            The action in units of its bounds, and its reconstruction from a sampled latent, [..., action_size] each;
            mean and deviation of the latent, [..., latent_size] each.
        """
        unit = self.to_unit(action)
        mean, log_std = self.encoder(self.standardize(observation), unit).chunk(2, -1)
        std = log_std.clamp(*_LOG_STD).exp()
        latent = mean + std * torch.randn_like(std)
        return unit, torch.tanh(self.decode(observation, latent)), mean, std

    def decode(self, observation: Tensor, latent: Tensor) -> Tensor:
        """The action of a latent [..., latent_size] before its tanh, [..., action_size]."""
        out: Tensor = self.decoder(self.standardize(observation), latent)
        return out

    def action(self, raw: Tensor) -> Tensor:
        """What :meth:`decode` gave, [..., action_size], as an action in its own units."""
        return self.from_unit(torch.tanh(raw))

    @staticmethod
    def clamp_latent(latent: Tensor) -> Tensor:
        """Latents [...] no further from 0 than 0.5 in any dimension."""
        return latent.clamp(-_LATENT_MAX, _LATENT_MAX)


class PerturbationNet(_Bounded):
    """BCQ's xi: ``clip(a + phi tanh(net(s, a)), -1, 1)``, in units of the bounds (Fujimoto et al., section 5.1).

    Args:
        observation_size: features of an observation, which are standardised.
        action_size: dimensions of an action.
        hidden_sizes: as in :class:`~awac_tr.models.networks.MLP`.
        phi: the largest change, in units of half the range.
        affine: as in :class:`CVAENet`.
        precision: as in :class:`~awac_tr.models.networks.MLP`.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: Sequence[int] = (400, 300),
        *,
        phi: float = 0.05,
        affine: tuple[Tensor, Tensor] | None = None,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__(affine)
        self.standardize = Standardizer(observation_size)
        self.mlp = MLP(observation_size + action_size, hidden_sizes, action_size, precision=precision)
        self.phi = phi

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """The perturbed action [..., action_size], for actions within the bounds."""
        unit = self.to_unit(action)
        change = self.phi * torch.tanh(self.mlp(self.standardize(observation), unit))
        return self.from_unit((unit + change).clamp(-1, 1))


def build_cvae(
    observation_size: int,
    action_size: int,
    hidden_sizes: Sequence[int] = (750, 750),
    *,
    action_low: npt.ArrayLike | None = None,
    action_high: npt.ArrayLike | None = None,
    **options: Any,
) -> CVAENet:
    """A :class:`CVAENet` for actions between these bounds, [action_size] each; None: -1 and 1.

    Raises:
        EnvError: bounds of the wrong size, not finite, or crossed.

    Example:
        >>> build_cvae(3, 2, (8, 8)).latent_size
        4
    """
    affine = action_range(action_size, action_low, action_high)
    return CVAENet(observation_size, action_size, hidden_sizes, affine=affine, **options)


def build_perturbation(
    observation_size: int,
    action_size: int,
    hidden_sizes: Sequence[int] = (400, 300),
    *,
    action_low: npt.ArrayLike | None = None,
    action_high: npt.ArrayLike | None = None,
    **options: Any,
) -> PerturbationNet:
    """The same for a :class:`PerturbationNet`."""
    affine = action_range(action_size, action_low, action_high)
    return PerturbationNet(observation_size, action_size, hidden_sizes, affine=affine, **options)
