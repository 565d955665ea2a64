"""Reading and setting the state of a MuJoCo simulation behind any wrappers, for records and for replays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.adroit import AdroitBinaryEnv, DoorBinaryEnv, PenBinaryEnv, RelocateBinaryEnv
from awac_tr.envs.checked_env import name_of
from awac_tr.envs.pose import SimulatedEnv, State
from awac_tr.envs.wrappers import GoalObservation, NewReward
from awac_tr.errors import EnvError

__all__ = ["has_pose", "pose_of", "rebuilt_pose", "set_pose"]

Observation = NDArray[np.float32]

_OTHER_NAMES: Final = {"door_body_pos": "door_pos", "desired_orien": "target_quat", "obj_pos": "ball_pos"}
"""What hand_dapg and D4RL call the things our environments draw."""

_JOINTS: Final[dict[type[AdroitBinaryEnv], tuple[list[int], list[int]]]] = {
    DoorBinaryEnv: (list(range(29)), [*range(1, 28), 29, 28]),
    PenBinaryEnv: (list(range(24)), list(range(24))),
    RelocateBinaryEnv: (list(range(30)), list(range(30))),
}
"""Entries of an observation that are joint positions, and where in ``qpos`` they stand."""

_DOOR_PALM: Final = slice(29, 32)
_PROBE: Final = 0.01
"""Metres the arm's slide is moved by to see which way it moves the palm; it is linear."""


def has_pose(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether there is a MuJoCo state to read behind the wrappers."""
    return hasattr(getattr(env.unwrapped, "data", None), "qpos")


def pose_of(env: gymnasium.Env[Any, Any]) -> State:
    """The state that a picture of this moment, or a replay from a start, needs.

    Copies, float64: ``qpos``, ``qvel`` and, of our environments, what the reset drew.

    Raises:
        EnvError: there is no MuJoCo state.
    """
    base: Any = env.unwrapped
    if isinstance(base, SimulatedEnv):
        return base.get_pose()
    if not has_pose(env):
        raise EnvError(f"{name_of(env)} has no MuJoCo state to record")
    return {"qpos": base.data.qpos.copy(), "qvel": base.data.qvel.copy()}


def set_pose(env: gymnasium.Env[Any, Any], pose: Mapping[str, NDArray[Any]]) -> Observation:
    """Put a simulation, reset at least once, into a state of :func:`pose_of`; the wrappers are left as they are.

    From the start of an episode on, the same actions then give the same observations, bit for bit. In the middle of
    one the solver's warm start is missing: a step then agrees within about 1e-5. Our environments also take the other
    entries of their ``get_state``, with which the middle is as exact as the start. Entries nobody knows are ignored.

    Returns:
        The observation [o] float32.

    Raises:
        EnvError: an entry is missing or of another shape, or the state cannot be set.
    """
    base: Any = env.unwrapped
    if isinstance(base, SimulatedEnv):
        return _seen(env, base.set_state({name: pose[name] for name in base.get_state() if name in pose}))
    if not has_pose(env) or not hasattr(base, "set_state") or not hasattr(base, "_get_obs"):
        raise EnvError(f"the state of {name_of(env)} cannot be set")
    import mujoco

    wanted = {name: np.asarray(pose.get(name, ()), np.float64) for name in ("qpos", "qvel")}
    for name, value in wanted.items():
        if value.shape != getattr(base.data, name).shape:
            raise EnvError(f"{name} has shape {value.shape}, expected {getattr(base.data, name).shape}")
    mujoco.mj_resetData(base.model, base.data)
    base.set_state(wanted["qpos"], wanted["qvel"])
    return _seen(env, base._get_obs())  # noqa: SLF001  (gymnasium's own name for it)


def _seen(env: gymnasium.Env[Any, Any], observation: Any) -> Observation:
    """What the wrappers, the innermost first, make of an observation; a reward rule takes it for the one before."""
    layers: list[Any] = []
    while isinstance(env, gymnasium.Wrapper):
        layers.append(env)
        env = env.env
    for layer in reversed(layers):
        if isinstance(layer, NewReward):
            layer.begin_at(observation)
        elif isinstance(layer, (gymnasium.ObservationWrapper, GoalObservation)):
            observation = layer.observation(observation)
    return np.asarray(observation, np.float32)


def rebuilt_pose(env: gymnasium.Env[Any, Any], observation: NDArray[Any], noted: Mapping[str, NDArray[Any]]) -> State:
    """A start for an episode whose noted state is incomplete: what was observed [o] goes before what was noted.

    hand_dapg's demonstrations note the place of the door, the target or the ball, but the hand at zero, while the first
    observation has it elsewhere. Joint positions come from the observation. The arm's slide, which the door's
    observation leaves out, is found from where the palm was. Velocities were not observed: they stay as noted, zero.
    The environment, reset at least once, is left in another state.

    Raises:
        EnvError: the environment is not one of ours, or something needed was not noted.
    """
    base: Any = env.unwrapped
    if not isinstance(base, AdroitBinaryEnv):
        raise EnvError(f"no start of {name_of(env)} can be made from an observation")
    known = base.get_pose()
    pose = {_OTHER_NAMES.get(name, name): np.asarray(value, np.float64) for name, value in noted.items()}
    missing = sorted(known.keys() - pose.keys())
    if missing:
        raise EnvError(f"the initial state lacks {', '.join(missing)}")
    pose = {name: pose[name].copy() for name in known}
    observed, joints = _JOINTS[type(base)]
    if np.shape(pose["qpos"]) == known["qpos"].shape:
        pose["qpos"][joints] = np.asarray(observation, np.float64)[observed]
    if isinstance(base, DoorBinaryEnv):
        _find_slide(base, pose, np.asarray(observation, np.float64)[_DOOR_PALM])
    base.set_state(pose)
    return pose


def _find_slide(base: DoorBinaryEnv, pose: State, palm: NDArray[np.float64]) -> None:
    """Move the first joint, a slide, until the palm is where it was seen."""
    before = base.set_state(pose)[_DOOR_PALM].astype(np.float64)
    pose["qpos"][0] += _PROBE
    moved = (base.set_state(pose)[_DOOR_PALM] - before) / _PROBE
    pose["qpos"][0] += float((palm - before) @ moved / (moved @ moved)) - _PROBE
