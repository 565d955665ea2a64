"""The paper's goals (A.1.1) as pure functions: of what they compare, and of recorded observations.

Every reward is goal - 1: 0 where the goal is reached, -1 elsewhere, of the state *after* the action. The functions of
observations therefore take next observations. They serve to relabel data of others, whose simulator state is gone.
An observation holds everything the goals compare, but rounded to float32: where a distance lies within about 1e-8 m
(1e-7 rad for the hinge, 1e-7 for the similarity) of its threshold the two may differ, nowhere else.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from awac_tr.errors import EnvError

__all__ = [
    "DOOR_HINGE",
    "PEN_DISTANCE",
    "PEN_SIMILARITY",
    "RELOCATE_DISTANCE",
    "door_reward",
    "pen_reward",
    "relocate_reward",
]

PEN_DISTANCE: Final = 0.075
"""Metres between pen and target, A.1.1."""
PEN_SIMILARITY: Final = 0.95
"""Dot product of the unit vectors along pen and target. A.1.1 prints ``|x_o - d_o| <= 0.95``, which nearly any pose
fulfils; the authors' code and Rajeswaran et al. (2018) compare the dot product, as done here."""
DOOR_HINGE: Final = 1.4
"""Radians of the door's hinge, A.1.1. The authors' mj_envs used 1.35."""
RELOCATE_DISTANCE: Final = 0.1
"""Metres between ball and target, A.1.1."""

_PEN_SIZE, _DOOR_SIZE, _RELOCATE_SIZE = 45, 39, 39


def pen_reward(
    next_observations: ArrayLike, *, distance: float = PEN_DISTANCE, similarity: float = PEN_SIMILARITY
) -> NDArray[np.float32]:
    """Rewards [N] float32 of ``pen-binary-v0``: ``1[|x_p - d_p| <= distance] 1[x_o . d_o >= similarity] - 1``.

    Args:
        next_observations: [N, 45]; 33:36 the pen's direction, 36:39 the target's, 39:42 the difference of positions.
        distance: metres.
        similarity: cosine.

    Raises:
        EnvError: the observations are not [N, 45]; likewise of the others.
    """
    x = _rows(next_observations, _PEN_SIZE, "pen-binary-v0")
    near = np.linalg.norm(x[:, 39:42], axis=1) <= distance
    aligned = np.einsum("ni,ni->n", x[:, 33:36], x[:, 36:39]) >= similarity
    return _reward(near & aligned)


def door_reward(next_observations: ArrayLike, *, hinge: float = DOOR_HINGE) -> NDArray[np.float32]:
    """Rewards [N] float32 of ``door-binary-v0``: ``1[d > hinge] - 1``.

    Args:
        next_observations: [N, 39]; 28 is the angle of the door's hinge in radians.
        hinge: radians.

    >>> import numpy as np
    >>> row = np.zeros(39, np.float32)
    >>> row[28] = 1.41
    >>> door_reward([0 * row, row]).tolist()
    [-1.0, 0.0]
    """
    x = _rows(next_observations, _DOOR_SIZE, "door-binary-v0")
    return _reward(x[:, 28] > hinge)


def relocate_reward(next_observations: ArrayLike, *, distance: float = RELOCATE_DISTANCE) -> NDArray[np.float32]:
    """Rewards [N] float32 of ``relocate-binary-v0``: ``1[|x_p - d_p| <= distance] - 1``.

    Args:
        next_observations: [N, 39]; 36:39 is the ball's position minus the target's, in metres.
        distance: metres.
    """
    x = _rows(next_observations, _RELOCATE_SIZE, "relocate-binary-v0")
    return _reward(np.linalg.norm(x[:, 36:39], axis=1) <= distance)


def _rows(observations: ArrayLike, size: int, env_id: str) -> NDArray[np.float64]:
    """Observations as float64 [N, size]: comparing in float32 would add a rounding of its own."""
    rows = np.asarray(observations, dtype=np.float64)
    if rows.shape != (len(rows), size):
        raise EnvError(f"{env_id} has observations of size {size}; these are of shape {rows.shape}")
    return rows


def _reward(goal: NDArray[np.bool_]) -> NDArray[np.float32]:
    return goal.astype(np.float32) - np.float32(1)
