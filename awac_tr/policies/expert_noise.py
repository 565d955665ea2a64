"""The noise of trained policies of others, added to what their last layer says: three forms.

One deviation an action; one that a second head gives; or, in gSDE (Raffin et al., 2021, arXiv:2005.05719), a random
matrix from the last hidden features to the actions, drawn again every so many steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExpertNoise", "expert_noise"]

Array = NDArray[np.float32]

_LOG_STD_RANGE: Final = (-20.0, 2.0)
"""Stable-Baselines3 cuts the log deviations of its squashed Gaussians here."""


class ExpertNoise:
    """Noise for the actions of one episode after the other."""

    def reset(self, generator: np.random.Generator) -> None:
        """Begin an episode, whose noise comes from this generator."""
        self._generator = generator

    def draw(self, features: Array) -> Array:
        """Noise [action_size] float32 where the last hidden layer gives ``features`` [n]."""
        raise NotImplementedError


def expert_noise(arrays: Mapping[str, NDArray[Any]], features: int, actions: int) -> ExpertNoise | None:
    """The noise that a policy's arrays describe; None: they describe none.

    ``log_std`` [actions]; or ``log_std_W`` [actions, features] and ``log_std_b`` [actions]; or ``sde_log_std``
    [features, actions or 1], ``sde_expln``, ``sde_sample_freq``. Features are those of the last hidden layer.

    Raises:
        KeyError, ValueError: they are incomplete, or of other shapes.
    """
    if "sde_log_std" in arrays:
        return _StateDependent(arrays, features, actions)
    if "log_std_W" in arrays:
        return _Head(
            _shaped(arrays, "log_std_W", (actions, features)),
            _shaped(arrays, "log_std_b", (actions,)),
        )
    return _Constant(_shaped(arrays, "log_std", (actions,))) if "log_std" in arrays else None


class _Constant(ExpertNoise):
    def __init__(self, log_std: Array) -> None:
        self._std = np.exp(log_std)

    def draw(self, features: Array) -> Array:
        noise: Array = self._std * self._generator.standard_normal(len(self._std), dtype=np.float32)
        return noise


class _Head(ExpertNoise):
    def __init__(self, weight: Array, bias: Array) -> None:
        self._weight, self._bias = weight, bias

    def draw(self, features: Array) -> Array:
        std = np.exp(np.clip(self._weight @ features + self._bias, *_LOG_STD_RANGE))
        noise: Array = std * self._generator.standard_normal(len(std), dtype=np.float32)
        return noise


class _StateDependent(ExpertNoise):
    def __init__(self, arrays: Mapping[str, NDArray[Any]], features: int, actions: int) -> None:
        log_std = np.asarray(arrays["sde_log_std"], np.float32)
        if log_std.shape not in ((features, actions), (features, 1)):
            raise ValueError(f"sde_log_std {log_std.shape} does not fit {features} features and {actions} actions")
        std = _expln(log_std) if bool(arrays["sde_expln"]) else np.exp(log_std)
        self._std: Array = np.ascontiguousarray(np.broadcast_to(std, (features, actions)))
        self._every = int(arrays["sde_sample_freq"])

    def reset(self, generator: np.random.Generator) -> None:
        super().reset(generator)
        self._step = 0

    def draw(self, features: Array) -> Array:
        if self._step == 0 or (self._every > 0 and self._step % self._every == 0):
            self._matrix = self._std * self._generator.standard_normal(self._std.shape, dtype=np.float32)
        self._step += 1
        noise: Array = features @ self._matrix
        return noise


def _expln(log_std: Array) -> Array:
    """``exp`` up to 0, ``log(1 + x) + 1`` from there on (gSDE paper, section 3.3)."""
    std: Array = np.where(log_std > 0, np.log1p(np.maximum(log_std, 0)) + 1, np.exp(np.minimum(log_std, 0)))
    return std


def _shaped(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> Array:
    array = np.asarray(arrays[name], np.float32)
    if array.shape != shape:
        raise ValueError(f"{name} {array.shape} is not of shape {shape}")
    return array
