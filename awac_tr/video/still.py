"""A picture of an environment as an episode begins, as PNG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from awac_tr.envs.gl import use_backend
from awac_tr.recipes.schema import EnvSection
from awac_tr.utils.atomic import cannot_write, replacing
from awac_tr.video.camera import Camera, drawing_env
from awac_tr.video.mp4 import VideoError

__all__ = ["CAMERAS", "STILL_SIZE", "Still", "draw_still"]

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


@dataclass(frozen=True)
class Still:
    """A picture.

    Attributes:
        path: the PNG file.
        size: width and height, pixels.
        bytes: of the file.
        replaced: a file of that name was there before.
    """

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

    It is drawn at twice the size and shrunk, so edges are smooth with any renderer; 128 colours keep the file small.

    Args:
        section: the environment.
        path: of the PNG file; missing folders are made, a file there is replaced.
        seed: of the reset.
        size: width and height; an environment that takes no size is drawn in its own.
        camera: changes to where :data:`CAMERAS` stands.

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
    return _saved(picture, path)


def _saved(picture: Image.Image, path: Path) -> Still:
    replaced = path.exists()
    try:
        with replacing(path) as file:
            _of_few_colours(picture).save(file, format="png", optimize=True)
    except OSError as error:
        raise cannot_write(path, error, VideoError) from error
    return Still(path, picture.size, path.stat().st_size, replaced)


def _of_few_colours(picture: Image.Image) -> Image.Image:
    """The commonest colours keep surfaces smooth; those far apart from each other keep what is small and bright."""
    ways = ((Image.Quantize.MEDIANCUT, _COMMON), (Image.Quantize.MAXCOVERAGE, _RARE))
    colours = [value for way, count in ways for value in (picture.quantize(count, way).getpalette() or [])[: 3 * count]]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)
