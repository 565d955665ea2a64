"""An environment that is able to draw itself, the camera that looks at it, and a picture of an episode's beginning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from awac_tr.envs.gl import install_hint, lighten, use_backend
from awac_tr.envs.make import make_env
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection
from awac_tr.utils.atomic import replacing
from awac_tr.video.mp4 import SIZE, VideoError

__all__ = ["CAMERAS", "Camera", "Still", "draw_still", "drawing_env"]

Camera = Mapping[str, Any]
"""Attributes of MuJoCo's free camera: ``distance`` (m), ``azimuth``, ``elevation`` (degrees), ``lookat`` (x, y, z)."""

_RGB_DIMENSIONS: Final = 3

STILL_SIZE: Final = (480, 360)

CAMERAS: Final[dict[str, Camera]] = {
    "pen-binary-v0": {"distance": 0.6, "azimuth": -100, "elevation": -45, "lookat": [-0.03, -0.2, 0.26]},
    "door-binary-v0": {"distance": 1.05, "azimuth": 58, "elevation": -30, "lookat": [0, -0.03, 0.26]},
    "relocate-binary-v0": {"distance": 1.0, "azimuth": 115, "elevation": -48, "lookat": [-0.02, -0.06, 0.2]},
    "HalfCheetah-v5": {"distance": 2.6, "azimuth": 115, "elevation": -20},
    "Ant-v5": {"distance": 3.4, "azimuth": 120, "elevation": -28},
    "Walker2d-v5": {"distance": 2.9, "azimuth": 130, "elevation": -20, "lookat": [0, 0, 0.8]},
}
"""Where to stand to see what the task is; of others the environment's own camera is taken."""

_FINER: Final = 2
_COMMON, _RARE = 96, 32


@contextmanager
def drawing_env(
    section: EnvSection,
    *,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    camera: Camera | None = None,
    fine: bool = False,
) -> Iterator[Any]:
    """An environment that is able to draw itself, in this size where it takes one, reset once and drawn once.

    Without a camera it looks as the environment does by itself. With ``fine``, edges are smooth and shadows fine also
    where there is no GPU, which takes three times as long.

    Raises:
        VideoError: it cannot be made or drawn, or its camera cannot be moved so; with the reason and what to install.
    """
    try:
        sized = section.model_copy(update={"kwargs": {"width": size[0], "height": size[1]} | section.kwargs})
        env = make_env(sized, render_mode="rgb_array")
    except EnvError:
        try:
            env = make_env(section, render_mode="rgb_array")
        except EnvError as error:
            raise VideoError(error.message, error.hint) from error
    try:
        if camera:
            _aim(env, section.id, camera)
        _prepare(env, section.id, seed, fine=fine)
        yield env
    finally:
        env.close()


def _aim(env: Any, env_id: str, camera: Camera) -> None:
    """Move the camera, before anything is drawn."""
    import mujoco

    renderer: Any = getattr(env.unwrapped, "mujoco_renderer", None)
    if not hasattr(renderer, "default_cam_config"):
        raise VideoError(f"the camera of {env_id} cannot be moved", "That needs an environment of Gymnasium's MuJoCo.")
    free = mujoco.MjvCamera()
    try:
        config = {name: _like(getattr(free, name), value) for name, value in camera.items()}
    except (AttributeError, TypeError, ValueError) as error:
        hint = "A camera has distance (m), azimuth and elevation (degrees), and lookat ([x, y, z])."
        raise VideoError(f"no such camera: {dict(camera)}", hint) from error
    renderer.default_cam_config = dict(renderer.default_cam_config or {}) | config
    renderer.camera_id = -1


def _like(present: Any, value: Any) -> Any:
    """The value with the type and shape of what it replaces."""
    if isinstance(present, np.ndarray):
        return np.broadcast_to(np.asarray(value, present.dtype), present.shape).copy()
    return type(present)(value)


def _prepare(env: Any, env_id: str, seed: int, *, fine: bool) -> None:
    """Draw one picture, to know that it can be done."""
    choice = use_backend()
    # Others (pygame, ...) draw without GL; MuJoCo's renderer must not be tried without, it fails untidily.
    if choice.backend is None and hasattr(env.unwrapped, "model"):
        tried = choice.explain().splitlines()
        raise VideoError(f"nothing here can draw {env_id}.", install_hint(choice), details=tried)
    if choice.software and not fine:
        lighten(env)
    try:
        env.reset(seed=seed)
        picture: Any = env.render()
    except Exception as error:
        raise VideoError(f"{env_id} could not be drawn: {error}") from error
    if not isinstance(picture, np.ndarray) or picture.ndim != _RGB_DIMENSIONS:
        raise VideoError(f"{env_id} draws no pictures: render() gave {type(picture).__name__}")


@dataclass(frozen=True)
class Still:
    """A PNG file, its width and height in pixels, its bytes, and whether one of that name was there before."""

    path: Path
    size: tuple[int, int]
    bytes: int
    replaced: bool


def draw_still(
    section: EnvSection,
    path: Path,
    *,
    seed: int = 0,
    size: tuple[int, int] = STILL_SIZE,
    camera: Camera | None = None,
) -> Still:
    """Reset an environment and draw it.

    It is drawn at twice the size and shrunk, so edges are smooth with any renderer; 128 colours keep the file small. An
    environment that takes no size is drawn in its own. ``camera`` changes where :data:`CAMERAS` stands. Missing folders
    are made, a file of this name is replaced.

    Raises:
        VideoError: no picture could be drawn, or not be written.
    """
    use_backend()
    placed = {**CAMERAS.get(section.name, {}), **(camera or {})}
    large = (size[0] * _FINER, size[1] * _FINER)
    with drawing_env(section, seed=seed, size=large, camera=placed, fine=True) as env:
        picture = Image.fromarray(env.render())
    if picture.size == large:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    replaced = path.exists()
    with replacing(path, VideoError) as file:
        _of_few_colours(picture).save(file, format="png", optimize=True)
    return Still(path, picture.size, path.stat().st_size, replaced)


def _of_few_colours(picture: Image.Image) -> Image.Image:
    """The commonest colours keep surfaces smooth; those far apart from each other keep what is small and bright."""
    ways = ((Image.Quantize.MEDIANCUT, _COMMON), (Image.Quantize.MAXCOVERAGE, _RARE))
    colours = [value for way, count in ways for value in (picture.quantize(count, way).getpalette() or [])[: 3 * count]]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)
