"""Inverse kinematics: the joint angles that put the hand over a place, for resets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import EnvError

if TYPE_CHECKING:
    import mujoco

__all__ = ["ARM", "reach"]

ARM: Final = slice(4, 11)
"""Entries of ``qpos`` and ``qvel`` that are the arm's seven joints; the four before are the puck's."""

_HOME: Final = (1.32, -0.94, -0.03, 1.79, 0.03, 0.72, 3.02)
"""Radians: elbow up, hand over the middle of the table, every joint far from its limits."""
_STEPS, _CLOSE, _DAMPING = 50, 1e-9, 1e-6


def reach(model: mujoco.MjModel, data: mujoco.MjData, place: NDArray[np.float64]) -> None:
    """Set the arm's joints so that the hand points down at ``place`` [3], metres; they depend on the place alone.

    Damped least squares from one posture (Wampler 1986); six numbers are wanted of seven joints, and of all solutions
    the one nearby is found.

    Raises:
        EnvError: the arm does not get there.
    """
    import mujoco

    hand, down = model.body("hand").id, model.body("target").quat
    data.qpos[ARM] = _HOME
    jacobian = np.zeros((6, model.nv))
    for _ in range(_STEPS):
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        error = np.concatenate([place - data.xpos[hand], _turn(data.xquat[hand], down)])
        if np.abs(error).max() < _CLOSE:
            return
        mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], hand)
        arm = jacobian[:, ARM]
        data.qpos[ARM] += arm.T @ np.linalg.solve(arm @ arm.T + _DAMPING * np.eye(6), error)
    raise EnvError(f"the arm does not reach {place.tolist()}")


def _turn(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation [3] (axis times radians, in the world) from one orientation to another."""
    import mujoco

    back, between, turn = np.zeros(4), np.zeros(4), np.zeros(3)
    mujoco.mju_negQuat(back, start)
    mujoco.mju_mulQuat(between, end, back)
    mujoco.mju_quat2Vel(turn, between, 1.0)
    return turn
