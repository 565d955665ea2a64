"""What returns lie between, for the clamp on values (A.3)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from awac_tr.errors import RecipeError

if TYPE_CHECKING:
    from awac_tr.algorithms.config import BoundedCriticConfig

__all__ = ["resolved_bounds", "value_bounds"]

Bounds = tuple[float | None, float | None]


def value_bounds(reward_range: tuple[float, float], gamma: float) -> Bounds:
    """What any policy's discounted return lies between, given the reward's range.

    A return is a sum of gamma^t r_t over an episode of unknown length (at least one step, perhaps endless), so
    ``low = min(r_min, r_min / (1 - gamma))`` and ``high = max(r_max, r_max / (1 - gamma))``.

    Args:
        reward_range: smallest and largest reward of a step.
        gamma: discount, in [0, 1]; at 1 a bound is infinite, hence None, unless the reward's own bound is 0.

    Returns:
        (low, high); None: unbounded on that side.

    Example:
        >>> low, high = value_bounds((-1.0, 0.0), 0.99)
        >>> round(low), high
        (-100, 0.0)
        >>> value_bounds((-1.0, 0.0), 1.0)
        (None, 0.0)
    """
    low, high = reward_range
    lowest = min(low, _endless(low, gamma))
    highest = max(high, _endless(high, gamma))
    return (lowest if math.isfinite(lowest) else None, highest if math.isfinite(highest) else None)


def _endless(reward: float, gamma: float) -> float:
    """Discounted sum of a reward that never ends."""
    if reward == 0.0:
        return 0.0
    return reward / (1.0 - gamma) if gamma < 1.0 else math.copysign(math.inf, reward)


def resolved_bounds(config: BoundedCriticConfig, reward_range: tuple[float, float]) -> Bounds:
    """The bounds that a recipe means, in units of return.

    Args:
        config: the recipe's ``algorithm`` section.
        reward_range: smallest and largest reward of a step, unscaled, for ``value_bounds: reward_range``.

    Raises:
        RecipeError: ``reward_range`` where the rewards are unbounded on both sides.
    """
    if config.value_bounds != "reward_range":
        return config.value_bounds
    low, high = (limit * config.reward_scale for limit in reward_range)
    bounds = value_bounds((low, high), config.gamma)
    if bounds == (None, None):
        raise RecipeError(
            "algorithm.value_bounds: reward_range, but the environment gives no finite range of rewards",
            "write the bounds as numbers, for example algorithm.value_bounds=[-100,0], or [null,null] for none.",
        )
    return bounds
