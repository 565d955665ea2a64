"""What stands in every picture of a film: step, reward, return, success."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from awac_tr.video.mp4 import SIZE, Picture

__all__ = ["Captions"]

_BAND: Final = 50
_BAR: Final = 8
_EDGE: Final = 10
_LINES: Final = (5, 26)
_WHITE: Final = (255, 255, 255)
_GREEN: Final = (90, 220, 110)
_GREY: Final = (150, 150, 150)


class Captions:
    """Draws step, reward, return and success into the pictures of one episode, and hands them on, of the films' size.

    A bar at the foot shows how far the episode is, green where it was in a goal state.

    Attributes:
        note: a few words at the upper right, to be changed between pictures.
    """

    def __init__(self, title: str, horizon: int, add: Callable[[Picture], None]) -> None:
        self._title, self._horizon, self._add = title, horizon, add
        self.note = ""
        self._return = 0.0
        self._goals: list[bool] = []

    def __call__(self, picture: Picture, step: int, reward: float, success: bool | None) -> None:  # noqa: FBT001  (called as OnFrame)
        """Take the next picture; called as :data:`awac_tr.envs.episode.OnFrame`."""
        if not math.isnan(reward):
            self._return += reward
            self._goals.append(bool(success))
        image = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
        image = image if image.size == SIZE else ImageOps.pad(image, SIZE)
        image.paste(image.crop((0, 0, SIZE[0], _BAND)).point(lambda value: value * 0.3), (0, 0))
        draw = ImageDraw.Draw(image)
        shown = "-" if math.isnan(reward) else f"{reward:.3g}"
        draw.text((_EDGE, _LINES[0]), self._title, font=_font(), fill=_WHITE)
        draw.text((SIZE[0] - _EDGE, _LINES[0]), self.note, font=_font(), fill=_WHITE, anchor="ra")
        line = f"step {step}/{self._horizon}   reward {shown}   return {self._return:.5g}"
        draw.text((_EDGE, _LINES[1]), line, font=_font(), fill=_WHITE)
        if success is not None:
            said, colour = ("success", _GREEN) if success else ("no success", _GREY)
            draw.text((SIZE[0] - _EDGE, _LINES[1]), said, font=_font(), fill=colour, anchor="ra")
        self._draw_bar(draw)
        self._add(np.asarray(image))

    def _draw_bar(self, draw: ImageDraw.ImageDraw) -> None:
        width, height = SIZE
        for index, goal in enumerate(self._goals):
            left, right = (round(width * (index + end) / self._horizon) for end in (0, 1))
            draw.rectangle((left, height - _BAR, max(left, right - 1), height), fill=_GREEN if goal else _GREY)


@cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font: nothing is looked up on the machine."""
    return ImageFont.load_default(15)
