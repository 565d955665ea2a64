"""Controllers that look at nothing: uniform actions and Ornstein-Uhlenbeck noise, and the random stream of an episode.

Both draw from numpy generators of their own, seeded for each episode, so that a dataset does not depend on which
process collected which episode and torch's global random stream is left alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["OUController", "RandomController", "action_generator"]

Array = NDArray[np.float32]

_STREAM: Final = 0xAC7
"""Gymnasium seeds its own generator with the bare seed; without a number of ours the noise would repeat its draws."""


def action_generator(seed: int) -> np.random.Generator:
    """The random stream that belongs to the actions of the episode with this seed."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([_STREAM, seed])))


class RandomController:
    """Uniform actions between the bounds, a new one each step.

    Args:
        low: lower bounds, [action_size].
        high: upper bounds, [action_size].

    Example:
        >>> controller = RandomController([-1.0, -1.0], [1.0, 1.0])
        >>> controller.reset(seed=3)
        >>> controller.act(np.zeros(4, np.float32)).shape
        (2,)
    """

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        self._low, self._high = np.asarray(low, np.float32), np.asarray(high, np.float32)
        self._generator = action_generator(0)

    def reset(self, seed: int) -> None:
        """Start an episode: the same seed gives the same actions."""
        self._generator = action_generator(seed)

    def act(self, observation: Array) -> Array:
        """An action [action_size] float32; the observation is not looked at."""
        unit = self._generator.random(self._low.shape, dtype=np.float32)
        action: Array = self._low + (self._high - self._low) * unit
        return action


class OUController:
    """Ornstein-Uhlenbeck noise about the middle of the range: ``x += -theta x + sigma N(0, 1)``, x = 0 at the start.

    ``x`` is in units of half the range, and the action is clipped to the bounds; a step of the process is a step of the
    environment (dt = 1), as in the authors' code. Its stationary deviation is ``sigma / sqrt(theta (2 - theta))``: 0.57
    with the defaults.

    Args:
        low: lower bounds, [action_size].
        high: upper bounds, [action_size].
        theta: pull towards the middle per step, in (0, 1].
        sigma: deviation of the noise added per step, >= 0.
    """

    def __init__(self, low: ArrayLike, high: ArrayLike, theta: float = 0.15, sigma: float = 0.3) -> None:
        low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
        self._low, self._high = low, high
        self._middle, self._half = (high + low) / 2, (high - low) / 2
        self._theta, self._sigma = np.float32(theta), np.float32(sigma)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start an episode at the middle of the range: the same seed gives the same actions."""
        self._generator = action_generator(seed)
        self._state = np.zeros(self._low.shape, np.float32)

    def act(self, observation: Array) -> Array:
        """The next action of the process, [action_size] float32; the observation is not looked at."""
        noise = self._generator.standard_normal(self._state.shape, dtype=np.float32)
        self._state = self._state - self._theta * self._state + self._sigma * noise
        action: Array = np.clip(self._middle + self._half * self._state, self._low, self._high)
        return action
