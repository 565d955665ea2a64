"""Numbers and rules of ``SawyerPush-v0`` (A.1.2) as pure functions: nothing here needs a simulator.

The figures are those of multiworld's ``sawyer_push_leap``, which the authors ran. Positions are metres on the table.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from awac_tr.errors import EnvError

__all__ = [
    "ACTION_SCALE",
    "GOAL_SIZE",
    "HIGH",
    "LOW",
    "PUCK_HIGH",
    "PUCK_LOW",
    "REACH",
    "REWARD_RANGE",
    "SEEN_HIGH",
    "SEEN_LOW",
    "SUCCESS_DISTANCE",
    "draw_apart",
    "draw_goals",
    "goal_reward",
    "push_reward",
]

LOW: Final = np.array([-0.2, 0.5])
"""Lower corner of the 40 x 20 cm in which hand, puck and goals lie."""
HIGH: Final = np.array([0.2, 0.7])
"""Upper corner."""
PUCK_LOW: Final = LOW + 0.009
"""Where the rails keep the puck's middle: less than the hand's range, so that it can be pushed off a rail again."""
PUCK_HIGH: Final = HIGH - 0.009
SEEN_LOW: Final = LOW - 0.02
"""What an observation may hold: a hand in a jam, or a puck under it, gives by some millimetres."""
SEEN_HIGH: Final = HIGH + 0.02
REWARD_RANGE: Final = (-float(np.hypot(*(HIGH - LOW))), 0.0)
"""Metres: from one corner of the 40 x 20 cm to the other, and none."""
GOAL_SIZE: Final = 4
"""Hand x, y and puck x, y."""
ACTION_SCALE: Final = 0.02
"""Metres the hand's target moves at an action of 1."""
SUCCESS_DISTANCE: Final = 0.06
"""Metres between puck and goal under which the goal is reached."""
REACH: Final = 0.055
"""Metres between the middles of hand and puck when they touch: radii of 15 and 40 mm."""

_OBSERVATION_SIZE: Final = 4


def goal_reward(achieved: ArrayLike, desired: ArrayLike) -> NDArray[np.float32]:
    """Negative distance between puck and goal, ``-|p - g|`` (A.1.2), [...] float32, metres.

    Goals are [..., 4], hand x, y and puck x, y; the hand's part counts for nothing.

    >>> goal_reward([0, 0.6, 0.1, 0.6], [[0, 0.5, 0.1, 0.5], [0, 0.5, 0.1, 0.6]])
    array([-0.1, -0. ], dtype=float32)
    """
    apart = np.asarray(achieved, np.float64)[..., 2:4] - np.asarray(desired, np.float64)[..., 2:4]
    # Not linalg.norm, whose last digit depends on how many it is given at once.
    return np.asarray(-np.sqrt(apart[..., 0] ** 2 + apart[..., 1] ** 2), np.float32)


def push_reward(next_observations: ArrayLike) -> NDArray[np.float32]:
    """As :func:`goal_reward`, from flat observations [N, 8]: hand x, y, puck x, y, and the same of the goal.

    Raises:
        EnvError: the observations are not [N, 8].
    """
    x = np.asarray(next_observations)
    size = _OBSERVATION_SIZE + GOAL_SIZE
    if x.ndim != 2 or x.shape[1] != size:  # noqa: PLR2004
        raise EnvError(f"observations of SawyerPush-v0 are [N, {size}], not {list(x.shape)}")
    return goal_reward(x[:, :_OBSERVATION_SIZE], x[:, _OBSERVATION_SIZE:])


def draw_goals(n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Goals [n, 4] float32 as a reset draws them: uniform over the 40 x 20 cm, hand and puck not in one another."""
    hands = rng.uniform(LOW, HIGH, (n, 2))
    return np.concatenate([hands, draw_apart(hands, rng, LOW, HIGH)], axis=1).astype(np.float32)


def draw_apart(
    hands: NDArray[Any], rng: np.random.Generator, low: NDArray[Any], high: NDArray[Any]
) -> NDArray[np.float64]:
    """Places for pucks, uniform between two corners [2], drawn again where they would touch the hands [n, 2]."""
    pucks = rng.uniform(low, high, hands.shape)
    while (touching := np.hypot(*(pucks - hands).T) <= REACH).any():
        pucks[touching] = rng.uniform(low, high, (int(touching.sum()), 2))
    return pucks
