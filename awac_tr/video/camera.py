"""An environment that is able to draw itself, and the camera that looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from awac_tr.envs.gl import install_hint, lighten, use_backend
from awac_tr.envs.make import make_env
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection
from awac_tr.video.mp4 import SIZE, VideoError

__all__ = ["Camera", "drawing_env"]

Camera = Mapping[str, Any]
"""Attributes of MuJoCo's free camera: ``distance`` (m), ``azimuth``, ``elevation`` (degrees), ``lookat`` (x, y, z)."""

_RGB_DIMENSIONS: Final = 3


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

    Args:
        section: the environment.
        seed: of the reset.
        size: width and height.
        camera: where to look from; None: as the environment does by itself.
        fine: smooth edges and fine shadows also where there is no GPU, which takes three times as long.

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
    """Move the camera, before anything is drawn.

    Raises:
        VideoError: it has none that can be moved, or the camera has no such attribute.
    """
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
    """Draw one picture, to know that it can be done.

    Raises:
        VideoError: it cannot; with the reason and what to install.
    """
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
