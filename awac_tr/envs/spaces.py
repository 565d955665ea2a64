"""Gymnasium's spaces of an environment, made from numbers: for those who may not import Gymnasium."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike

__all__ = ["box_spaces"]


def box_spaces(observation_size: int, low: ArrayLike, high: ArrayLike) -> tuple[Box, Box]:
    """Spaces of the observations, unbounded, and of the actions between bounds [a], both float32.

    >>> box_spaces(3, [-1.0, -1.0], [1.0, 1.0])[1]
    Box(-1.0, 1.0, (2,), float32)
    """
    actions = Box(np.asarray(low, np.float32), np.asarray(high, np.float32), dtype=np.float32)
    return Box(-np.inf, np.inf, (observation_size,), np.float32), actions
