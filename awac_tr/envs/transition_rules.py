"""What validation holds transitions against: spaces of an environment, and when it ends an episode by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs import ENV_IDS
from awac_tr.envs.env_info import EnvInfo, env_info
from awac_tr.envs.make import find_spec, make_env
from awac_tr.envs.sawyer.task import HIGH, LOW, SEEN_HIGH, SEEN_LOW
from awac_tr.recipes.schema import EnvSection

__all__ = ["EnvRules", "TerminationRule", "env_rules"]

Bools = NDArray[np.bool_]
TerminationRule = Callable[[NDArray[np.float32]], tuple[Bools, Bools]]

_NEVER: Final = ("HalfCheetah", "Swimmer", "Reacher", "Pusher", "HumanoidStandup", "Pendulum", "AdroitHand", "Fetch")
"""Families whose episodes only time ends."""

_MARGIN: Final = 1e-5
"""Observations are rounded to float32: so near to a limit nothing is said."""
_BOUNDS: Final = {
    "SawyerPush-v0": (
        np.concatenate([SEEN_LOW, SEEN_LOW, LOW, LOW]).astype(np.float32),
        np.concatenate([SEEN_HIGH, SEEN_HIGH, HIGH, HIGH]).astype(np.float32),
    )
}
"""Of the observations of ours that have any."""
_CLIPPED: Final = 10.0
"""Hopper clips velocities in observations at this value, and ends beyond 100: what lies between cannot be seen."""


@dataclass(frozen=True)
class EnvRules:
    """Spaces and ends of an environment.

    Args:
        observation_low: [o] float32, -inf where unbounded.
        observation_high: [o] float32.
        action_low: [a] float32.
        action_high: [a] float32.
        terminates: False: only time ends an episode; True: it can end by itself; None: unknown.
        termination: next observations [N, o] -> (certainly ended [N], certainly not [N]); None: no such rule is known.
    """

    observation_low: NDArray[np.float32]
    observation_high: NDArray[np.float32]
    action_low: NDArray[np.float32]
    action_high: NDArray[np.float32]
    terminates: bool | None
    termination: TerminationRule | None


def env_rules(env: str | EnvSection) -> EnvRules:
    """Rules of any registered environment with vector observations and continuous actions; made once, unless ours.

    Args:
        env: a Gymnasium id, or the whole description.

    Raises:
        EnvError: unknown id, arguments that do not fit, or spaces that are not vectors.

    >>> rules = env_rules("Hopper-v5")
    >>> rules.terminates, rules.action_high.tolist()
    (True, [1.0, 1.0, 1.0])
    """
    section = EnvSection.of(env)
    name = find_spec(section.id).id
    if name in ENV_IDS and not section.options:
        return _ours(env_info(section))
    made = make_env(section)
    try:
        states: Any = made.observation_space
        actions: Any = made.action_space
        # wrappers may end episodes, and show other observations than the rules know
        terminates, rule = (None, None) if section.wrappers else _ends(name, made.unwrapped)
    finally:
        made.close()
    return EnvRules(
        observation_low=np.asarray(states.low, np.float32),
        observation_high=np.asarray(states.high, np.float32),
        action_low=np.asarray(actions.low, np.float32),
        action_high=np.asarray(actions.high, np.float32),
        terminates=terminates,
        termination=rule,
    )


def _ours(facts: EnvInfo) -> EnvRules:
    """Known without making one, which takes longer than looking at a file."""
    unbounded, action = np.full(facts.observation_size, np.inf, np.float32), np.ones(facts.action_size, np.float32)
    low, high = _BOUNDS.get(facts.id, (-unbounded, unbounded))
    return EnvRules(low, high, -action, action, terminates=False, termination=None)


def _ends(env_id: str, env: Any) -> tuple[bool | None, TerminationRule | None]:
    name = env_id.rpartition("/")[2].partition("-")[0]
    if name.startswith(_NEVER):
        return False, None
    if name == "InvertedPendulum":
        return True, _pole_fell
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
    states: NDArray[np.float32], *, limits: tuple[tuple[float, float], ...], blind: float = np.inf
) -> tuple[Bools, Bools]:
    """Ended where one of the first entries leaves its limits."""
    seen = states[:, : len(limits)].astype(np.float64)
    low, high = (np.asarray([limit[side] for limit in limits]) for side in (0, 1))
    ended: Bools = np.asarray(((seen < low - _MARGIN) | (seen > high + _MARGIN)).any(axis=1))
    going: Bools = np.asarray(((seen > low + _MARGIN) & (seen < high - _MARGIN)).all(axis=1))
    return ended, going & np.asarray((np.abs(states) < blind).all(axis=1))


def _pole_fell(states: NDArray[np.float32]) -> tuple[Bools, Bools]:
    """InvertedPendulum ends where the pole leans by more than 0.2 rad."""
    lean = np.abs(states[:, 1].astype(np.float64))
    return lean > 0.2 + _MARGIN, lean < 0.2 - _MARGIN
