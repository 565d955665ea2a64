"""A policy laid out for one observation at a time: numpy in, numpy out, nothing between the matrix products.

A call of the modules costs three times its arithmetic at a batch of one, and a call through TensorDict ten times. Here
the weights are read out once (a round, an episode), the buffers are kept, and a call is the products themselves. What
comes out is what the modules give, in float32 also where the update runs in bfloat16.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from awac_tr.errors import AwacError
from awac_tr.models.networks import GaussianNet, LogStdMap, bounded_std

__all__ = ["RowPolicy", "finite_rows"]

Array = NDArray[np.float32]

_IN_PLACE: Final[dict[type[nn.Module], Callable[[Tensor], Tensor]]] = {nn.ReLU: torch.relu_, nn.Tanh: torch.tanh_}

_TANH_LIMIT: Final = np.float32(1.0 - torch.finfo(torch.float32).resolution)
"""TorchRL keeps squashed actions this far inside their bounds, where their density is finite."""


class _Layer(NamedTuple):
    """A linear layer: weight [m, n] and bias [m], which may be views of parameters that learn."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layer: nn.Linear) -> _Layer:
        return cls(_tensor(layer.weight), _tensor(layer.bias))


class _Weights(NamedTuple):
    """All that :class:`RowPolicy` is made of, named as in ``GaussianNet``; can be pickled without the modules.

    Where deviations depend on the state ``head`` gives their p, else it is ``p`` itself.
    """

    location: Array
    spread: Array
    activation: nn.Module
    hidden: tuple[_Layer, ...]
    last: _Layer
    head: _Layer | None
    p: Tensor
    log_std_bounds: tuple[float, float]
    log_std_map: LogStdMap
    squash_mean: bool
    affine: tuple[Array, Array] | None
    squash: tuple[Array, Array] | None


class RowPolicy:
    """pi(. | s) of a policy of this package as its weights stand now.

    Args:
        weights: as :meth:`of` reads them out.

    Attributes:
        observation_size: entries of an observation.
        action_size: entries of an action.
        noise_size: the same: normal numbers of a random action.
    """

    def __init__(self, weights: _Weights) -> None:
        self._weights = weights
        self.observation_size = len(weights.location)
        self.action_size = self.noise_size = len(weights.last.bias)
        self._input = torch.empty(1, self.observation_size)
        self._input_row: Array = self._input.numpy()[0]
        self._steps = [_prepared(layer) for layer in weights.hidden]
        self._last = _prepared(weights.last)
        self._loc: Array = self._last[2].numpy()[0]
        self._head = _prepared(weights.head) if weights.head is not None else None
        self._scale = self._scale_of(weights.p)
        self._activate = _IN_PLACE.get(type(weights.activation), weights.activation)

    @classmethod
    def of(cls, module: Any) -> RowPolicy:
        """Read the weights out of a policy.

        On the CPU they are not copied: while they change, so does what the policy does, deviations that do not depend
        on the state excepted. Make it anew after updates. A pickled one is a copy.

        Args:
            module: as :func:`awac_tr.models.build.build_policy` makes it, on any device.

        Raises:
            TypeError: a policy of another make.
        """
        net = getattr(module[0], "module", None)
        if not isinstance(net, GaussianNet):
            raise TypeError(f"a policy of build_policy is needed, not one of {type(net).__name__}")
        affine = None
        if net.centre is not None and net.half_width is not None:
            affine = (_tensor(net.centre).numpy(), _tensor(net.half_width).numpy())
        weights = _Weights(
            location=_tensor(net.standardize.loc).numpy(),
            spread=_tensor(net.standardize.scale).numpy(),
            activation=net.mlp.activation,
            hidden=tuple(_Layer.of(cast("nn.Linear", layer)) for layer in net.mlp.hidden),
            last=_Layer.of(net.mlp.last),
            head=_Layer.of(net.std_head) if net.dependent else None,
            p=torch.zeros(len(net.mlp.last.bias)) if net.dependent else _tensor(net.std_parameter),
            log_std_bounds=net.log_std_bounds,
            log_std_map=net.log_std_map,
            squash_mean=net.squash_mean,
            affine=affine,
            squash=_squash_range(module[-1]),
        )
        return cls(weights)

    def __reduce__(self) -> tuple[type[RowPolicy], tuple[_Weights]]:
        return RowPolicy, (self._weights,)

    def distribution(self, observation: Array) -> tuple[Array, Array]:
        """``loc`` and ``scale``, [action_size] float32 each, before any squashing; the next call may overwrite them."""
        weights = self._weights
        np.subtract(observation, weights.location, out=self._input_row)
        np.divide(self._input_row, weights.spread, out=self._input_row)
        features = self._input
        for weight, bias, out in self._steps:
            features = self._activate(torch.addmm(bias, features, weight, out=out))
        weight, bias, out = self._last
        torch.addmm(bias, features, weight, out=out)
        if weights.squash_mean:
            torch.tanh_(out)
        scale = self._scale
        if self._head is not None:
            weight, bias, out = self._head
            scale = self._scale_of(torch.addmm(bias, features, weight, out=out)[0])
        if weights.affine is not None:
            return weights.affine[0] + weights.affine[1] * self._loc, scale
        return self._loc, scale

    def act(self, observation: ArrayLike, noise: Array | None = None) -> Array:
        """The action for one observation, or for a batch of them, not clipped.

        Args:
            observation: [observation_size] or [B, observation_size], finite.
            noise: standard normal numbers of the shape of the actions: they are samples; None: they are the
                distribution's deterministic actions.

        Returns:
            ``loc + scale * noise``, [action_size] or [B, action_size] float32, squashed where the distribution
            squashes.

        Raises:
            AwacError: observations of another shape, or with NaN or infinity.
        """
        observation = finite_rows(observation, self.observation_size)
        if observation.ndim > 1:
            draws = [None] * len(observation) if noise is None else noise
            acts = [self.act(row, draw) for row, draw in zip(observation, draws, strict=True)]
            return np.array(acts, np.float32).reshape(-1, self.action_size)
        loc, scale = self.distribution(observation)
        action: Array = loc.copy() if noise is None else loc + scale * noise
        if self._weights.squash is not None:
            middle, half = self._weights.squash
            action = middle + half * np.clip(np.tanh(action), -_TANH_LIMIT, _TANH_LIMIT)
        return action

    def _scale_of(self, p: Tensor) -> Array:
        """The deviation [action_size] for what the network says of it, see :class:`GaussianNet`."""
        weights = self._weights
        scale: Array = bounded_std(p, weights.log_std_bounds, weights.log_std_map).numpy()
        return scale if weights.affine is None else weights.affine[1] * scale


def finite_rows(observation: ArrayLike, size: int, *, more: bool = False) -> Array:
    """An observation [size], or a batch [B, size] of them, as float32; with ``more`` it may have more entries.

    Raises:
        AwacError: it has another shape, or NaN or infinity.
    """
    rows: Array = np.asarray(observation, np.float32)
    width = rows.shape[-1] if rows.ndim in (1, 2) else -1
    if width != size and not (more and width > size):
        raise AwacError(f"the policy takes observations of {size} numbers, or rows of them, not shape {rows.shape}")
    # the product is not finite where an entry is not, and rarely otherwise
    if not math.isfinite(np.vdot(rows, rows)) and not np.isfinite(rows).all():
        raise AwacError(f"the observation has NaN or infinity at {np.argwhere(~np.isfinite(rows))[0].tolist()}")
    return rows


def _tensor(parameter: Tensor) -> Tensor:
    return parameter.detach().to("cpu", torch.float32)


def _prepared(layer: _Layer) -> tuple[Tensor, Tensor, Tensor]:
    """Transposed weight, bias, and a place for the output [1, m]."""
    return layer.weight.t(), layer.bias, torch.empty(1, len(layer.bias))


def _squash_range(probabilistic: Any) -> tuple[Array, Array] | None:
    """Middle and half of the range of a tanh-squashed distribution; None where the density is not squashed."""
    from torchrl.modules import TanhNormal

    if not issubclass(probabilistic.distribution_class, TanhNormal):
        return None
    kwargs = probabilistic.distribution_kwargs
    low = torch.as_tensor(kwargs.get("low", -1.0), dtype=torch.float32).cpu().numpy()
    high = torch.as_tensor(kwargs.get("high", 1.0), dtype=torch.float32).cpu().numpy()
    return (high + low) / 2, (high - low) / 2
