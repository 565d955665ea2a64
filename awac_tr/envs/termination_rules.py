"""When an environment ends an episode by itself, as far as that is known: validation holds transitions against it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["TerminationRule", "termination_of"]

Bools = NDArray[np.bool_]
TerminationRule = Callable[[NDArray[np.float32]], tuple[Bools, Bools]]
"""Next observations [N, o] -> (certainly ended [N], certainly not [N])."""

_NEVER: Final = ("HalfCheetah", "Swimmer", "Reacher", "Pusher", "HumanoidStandup", "Pendulum", "AdroitHand", "Fetch")
"""Families whose episodes only time ends."""

_MARGIN: Final = 1e-5
"""Observations are rounded to float32: so near to a limit nothing is said."""
_CLIPPED: Final = 10.0
"""Hopper clips velocities in observations at this value, and ends beyond 100: what lies between cannot be seen."""


def termination_of(env_id: str, env: Any) -> tuple[bool | None, TerminationRule | None]:
    """Whether an environment ends episodes, and where.

    Args:
        env_id: registered id.
        env: the environment, unwrapped.

    Returns:
        False: only time ends an episode; True: it can end by itself; None: unknown. And the rule; None: none is known.
    """
    name = env_id.rpartition("/")[2].partition("-")[0]
    if name.startswith(_NEVER):
        return False, None
    if name == "InvertedPendulum":
        return True, partial(_outside, limits=((-0.2, 0.2),), first=1)  # the lean of the pole in rad
    healthy: bool | None = getattr(env, "_terminate_when_unhealthy", None)
    if healthy is not True:
        return healthy, None
    if not getattr(env, "_exclude_current_positions_from_observation", False):
        return True, None
    return True, _healthy_rule(name, env)


def _healthy_rule(name: str, env: Any) -> TerminationRule | None:
    """The torso's height and, in a plane, its lean: the first entries of these environments' observations."""
    height: Any = getattr(env, "_healthy_z_range", None)
    if height is None:
        return None
    if name in ("Ant", "Humanoid"):
        return partial(_outside, limits=(height,))
    if name in ("Hopper", "Walker2d"):
        limits = (height, env._healthy_angle_range)  # noqa: SLF001  (what its is_healthy compares)
        return partial(_outside, limits=limits, blind=_CLIPPED if name == "Hopper" else np.inf)
    return None


def _outside(
    states: NDArray[np.float32], *, limits: tuple[tuple[float, float], ...], first: int = 0, blind: float = np.inf
) -> tuple[Bools, Bools]:
    seen = states[:, first : first + len(limits)].astype(np.float64)
    low, high = (np.asarray([limit[side] for limit in limits]) for side in (0, 1))
    ended: Bools = np.asarray(((seen < low - _MARGIN) | (seen > high + _MARGIN)).any(axis=1))
    going: Bools = np.asarray(((seen > low + _MARGIN) & (seen < high - _MARGIN)).all(axis=1))
    return ended, going & np.asarray((np.abs(states) < blind).all(axis=1))
