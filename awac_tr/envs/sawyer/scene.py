"""The simulator's model of table and arm: ``scene.xml`` beside this file, with the meshes of ``metaworld``; its reach.

``metaworld`` (MIT) is never imported, only its mesh files are read: so its own dependencies do not matter here.
"""

from __future__ import annotations

import copy
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.gl import import_mujoco
from awac_tr.errors import EnvError

if TYPE_CHECKING:
    import mujoco

__all__ = ["ARM", "load_scene", "mesh_folder", "reach"]

_PACKAGE: Final = "metaworld"
_MESHES: Final = Path("assets", "objects", "meshes", "xyz_base")
_SCENE: Final = Path(__file__).with_name("scene.xml")
_HINT: Final = 'Install it with: pip install "awac-tr[sawyer]"'

ARM: Final = slice(4, 11)
"""Entries of ``qpos`` and ``qvel`` that are the arm's seven joints; the four before are the puck's."""

_HOME: Final = (1.32, -0.94, -0.03, 1.79, 0.03, 0.72, 3.02)
"""Radians: elbow up, hand over the middle of the table, every joint far from its limits."""
_STEPS, _CLOSE, _DAMPING = 50, 1e-9, 1e-6


def load_scene() -> mujoco.MjModel:
    """A model of its own for the caller; read and compiled once a process, which takes a third of a second.

    Raises:
        EnvError: the package with the arm's meshes is not installed, or not the one that is known.
    """
    return copy.copy(_compiled(mesh_folder()))


def mesh_folder() -> Path:
    """Where the arm's meshes lie.

    Raises:
        EnvError: the package is not installed, or holds no such folder.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EnvError(f"SawyerPush-v0 needs the arm's meshes of the package {_PACKAGE}, which is not installed", _HINT)
    folder = Path(found.submodule_search_locations[0]) / _MESHES
    if not folder.is_dir():
        raise EnvError(f"the installed {_PACKAGE} has no meshes of the arm in {folder}", _HINT)
    return folder


@cache
def _compiled(folder: Path) -> mujoco.MjModel:
    import_mujoco()
    import mujoco

    meshes = {path.name: path.read_bytes() for path in sorted(folder.glob("*.stl"))}
    try:
        return mujoco.MjModel.from_xml_string(_SCENE.read_text("utf-8"), meshes)
    except ValueError as error:
        raise EnvError(f"the scene cannot be built with the meshes in {folder}: {error}", _HINT) from error


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
