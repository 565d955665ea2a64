"""What policies and critics are made of: a multi-layer perceptron, and the standardisation in front of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["MLP", "GaussianNet", "LogStdMap", "QNet", "Standardizer", "VNet", "bounded_std"]

Precision = Literal["fp32", "bf16"]
LogStdMap = Literal["sigmoid", "clamp"]

ACTIVATIONS: Final[dict[str, type[nn.Module]]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

LAST_LAYER_INIT: Final = 1e-3
"""Half-width of the uniform initial weights of a policy's last layer (the authors' code): first means are near 0."""

CONSTANT_STD: Final = 1e-6
"""A standard deviation below this is that of a constant."""

_log = logging.getLogger(__name__)


class HiddenLinear(nn.Linear):
    """A linear layer that multiplies in the dtype of its input, whatever that of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., out_features] in the dtype of x."""
        return functional.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class HiddenNorm(nn.LayerNorm):
    """Layer normalisation in float32, given back in the dtype of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., n] in the dtype of x."""
        return super().forward(x.float()).to(x.dtype)


class MLP(nn.Module):
    """Hidden layers with an activation after each, then one linear layer.

    Each hidden layer is linear, dropout, layer normalisation, activation, as in RLPD; the second and third on request.

    With ``precision="bf16"`` the hidden layers multiply in bfloat16 (float32 master weights, cast as they are used),
    while the last layer and what enters it are float32: bfloat16 has a step of 0.5 near -100, more than the paper's
    lambda, so that a Q-value that leaves the network in bfloat16 gives advantages that are rounding noise.

    Args:
        in_size: features of the input, over all tensors given to :meth:`forward`.
        hidden_sizes: width of each hidden layer, at least one.
        out_size: features of the output.
        activation: ``relu``, ``tanh``, ``elu``, ``gelu`` or ``silu``.
        precision: ``fp32`` or ``bf16``.
        last_layer_init: half-width of the last layer's uniform initial weights, its bias being 0;
            None keeps torch's initialisation.
        layer_norm: normalise what enters each activation.
        dropout: share of each hidden layer's outputs that is dropped while the module is in training mode, in [0, 1).

    Examples:
        >>> MLP(3, (8, 8), 2, "relu")(torch.zeros(5, 2), torch.zeros(5, 1)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        in_size: int,
        hidden_sizes: Sequence[int],
        out_size: int,
        activation: str = "relu",
        *,
        precision: Precision = "fp32",
        last_layer_init: float | None = None,
        layer_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not hidden_sizes:
            raise ValueError("hidden_sizes is empty: an MLP needs at least one hidden layer")
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision is fp32 or bf16, not {precision!r}")
        sizes = (in_size, *hidden_sizes)
        self.hidden = nn.ModuleList(HiddenLinear(n, m) for n, m in pairwise(sizes))
        self.norms = nn.ModuleList(HiddenNorm(m) if layer_norm else nn.Identity() for m in hidden_sizes)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.activation = ACTIVATIONS[activation]()
        self.last = nn.Linear(sizes[-1], out_size)
        self.precision: Precision = precision
        if last_layer_init is not None:
            init_last(self.last, last_layer_init)

    def features(self, *inputs: Tensor) -> Tensor:
        """What enters the last layer, [..., hidden_sizes[-1]], in the dtype of its weights.

        Args:
            inputs: tensors [..., n_i] with the n_i summing to ``in_size``; they are joined in the given order.
        """
        x = inputs[0] if len(inputs) == 1 else torch.cat(inputs, -1)
        x = x.to(torch.bfloat16 if self.precision == "bf16" else self.last.weight.dtype)
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = self.activation(norm(self.dropout(layer(x))))
        return x.to(self.last.weight.dtype)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The output [..., out_size] for inputs as in :meth:`features`."""
        out: Tensor = self.last(self.features(*inputs))
        return out


class Standardizer(nn.Module):
    """(x - loc) / scale with fixed buffers: the identity until :meth:`set_statistics`.

    The buffers are part of the network, so that statistics travel with every checkpoint.

    Args:
        size: features of the input.
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def set_statistics(self, mean: Tensor | npt.ArrayLike, std: Tensor | npt.ArrayLike) -> None:
        """Standardise by this mean and standard deviation from now on.

        A feature that is constant in the data (deviation below 1e-6) is centred but not scaled; this is logged.

        Args:
            mean: [size], in the units of the observation.
            std: [size], not negative.

        Raises:
            ValueError: wrong shape, a number that is not finite, or a negative deviation.
        """
        loc, scale = (self._statistic(name, value) for name, value in (("mean", mean), ("std", std)))
        if bool((scale < 0).any()):
            raise ValueError("std has negative entries")
        constant = scale < CONSTANT_STD
        if bool(constant.any()):
            names = constant.nonzero()[:, 0].tolist()
            _log.info("observation features %s are constant in the data: centred, not scaled", names)
        self.loc.copy_(loc)
        self.scale.copy_(torch.where(constant, torch.ones_like(scale), scale))

    def _statistic(self, name: str, value: Tensor | npt.ArrayLike) -> Tensor:
        tensor = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, dtype=np.float64))
        if tensor.shape != self.loc.shape:
            raise ValueError(f"{name} has shape {list(tensor.shape)}, observations have [{self.loc.numel()}]")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} has entries that are not finite")
        return tensor.to(self.loc)

    def forward(self, x: Tensor) -> Tensor:
        """Standardised x, [..., size]."""
        return (x - self.loc) / self.scale


class GaussianNet(nn.Module):
    """Observation -> (loc, scale) of a Gaussian over actions.

    The deviation is :func:`bounded_std` of p, which starts at 0: by the authors' map and bounds, sigmoid, -6 and 0, it
    is exp(-3) = 0.0498 at first; clamped it is 1.

    Args:
        observation_size: features of an observation.
        action_size: dimensions of an action.
        hidden_sizes: as in :class:`MLP`.
        activation: as in :class:`MLP`.
        log_std_min: lower bound of the logarithm of the standard deviation.
        log_std_max: its upper bound.
        log_std_map: how p is mapped between them.
        dependent: p is a second head of the network instead of one learnt vector.
        squash_mean: loc = tanh(output) instead of the output itself.
        affine: (centre [action_size], half-width [action_size]) that loc and scale are mapped by; None: neither.
        precision: as in :class:`MLP`.
        dropout: as in :class:`MLP`.
    """

    centre: Tensor | None
    half_width: Tensor | None

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: Sequence[int],
        activation: str = "relu",
        *,
        log_std_min: float = -6.0,
        log_std_max: float = 0.0,
        log_std_map: LogStdMap = "sigmoid",
        dependent: bool = False,
        squash_mean: bool = True,
        affine: tuple[Tensor, Tensor] | None = None,
        precision: Precision = "fp32",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not log_std_min < log_std_max:
            raise ValueError(f"log_std_min {log_std_min} is not below log_std_max {log_std_max}")
        self.standardize = Standardizer(observation_size)
        self.mlp = MLP(
            observation_size,
            hidden_sizes,
            action_size,
            activation,
            precision=precision,
            last_layer_init=LAST_LAYER_INIT,
            dropout=dropout,
        )
        self.log_std_bounds = (log_std_min, log_std_max)
        self.log_std_map: LogStdMap = log_std_map
        self.squash_mean = squash_mean
        if dependent:
            self.std_head = nn.Linear(hidden_sizes[-1], action_size)
            init_last(self.std_head, LAST_LAYER_INIT)
        else:
            self.std_parameter = nn.Parameter(torch.zeros(action_size))
        self.dependent = dependent
        self.register_buffer("centre", None if affine is None else affine[0])
        self.register_buffer("half_width", None if affine is None else affine[1])

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """(loc, scale), each [..., action_size], for observations [..., observation_size]."""
        features = self.mlp.features(self.standardize(observation))
        loc = self.mlp.last(features)
        if self.squash_mean:
            loc = torch.tanh(loc)
        p = self.std_head(features) if self.dependent else self.std_parameter
        scale = bounded_std(p, self.log_std_bounds, self.log_std_map).expand_as(loc)
        if self.centre is not None and self.half_width is not None:
            return self.centre + self.half_width * loc, self.half_width * scale
        return loc, scale


def bounded_std(p: Tensor, log_bounds: tuple[float, float], log_map: LogStdMap) -> Tensor:
    """The standard deviation for p [...]: its logarithm is ``low + (high - low) * sigmoid(p)``, or p itself clamped.

    The first is the AWAC authors', the second that of most other codes (at a bound it has no gradient).

    Example:
        >>> [round(float(bounded_std(torch.tensor(0.0), (-6, 0), how)), 4) for how in ("sigmoid", "clamp")]
        [0.0498, 1.0]
    """
    low, high = log_bounds
    return torch.exp(p.clamp(low, high) if log_map == "clamp" else low + (high - low) * torch.sigmoid(p))


class QNet(nn.Module):
    """(observation, action) -> Q, one :class:`MLP` of these ``options`` over both, the observation standardised."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: Sequence[int],
        activation: str = "relu",
        **options: Any,
    ) -> None:
        super().__init__()
        self.standardize = Standardizer(observation_size)
        self.mlp = MLP(observation_size + action_size, hidden_sizes, 1, activation, **options)

    def forward(self, observation: Tensor, *action: Tensor) -> Tensor:
        """Q [..., 1] for observations [..., observation_size] and actions [..., action_size]."""
        out: Tensor = self.mlp(self.standardize(observation), *action)
        return out


class VNet(QNet):
    """observation -> V [..., 1]: a :class:`QNet` without an action."""

    def __init__(
        self, observation_size: int, hidden_sizes: Sequence[int], activation: str = "relu", **options: Any
    ) -> None:
        super().__init__(observation_size, 0, hidden_sizes, activation, **options)


def init_last(layer: nn.Linear, half_width: float) -> None:
    """Weights uniform in [-half_width, half_width], bias 0."""
    nn.init.uniform_(layer.weight, -half_width, half_width)
    nn.init.zeros_(layer.bias)
