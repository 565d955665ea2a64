"""The simulator's model of table and arm: ``scene.xml`` beside this file, with the arm's meshes of ``metaworld``.

``metaworld`` (MIT) is never imported, only its mesh files are read: so its own dependencies do not matter here.
"""

from __future__ import annotations

import copy
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from awac_tr.envs.gl import import_mujoco
from awac_tr.errors import EnvError

if TYPE_CHECKING:
    import mujoco

__all__ = ["load_scene", "mesh_folder"]

_PACKAGE: Final = "metaworld"
_MESHES: Final = Path("assets", "objects", "meshes", "xyz_base")
_SCENE: Final = Path(__file__).with_name("scene.xml")
_HINT: Final = 'Install it with: pip install "awac-tr[sawyer]"'


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
