"""Films of the best, the median and the worst episode of an evaluation, and what stands in every picture of a film."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from awac_tr.collectors.episodes import rollout
from awac_tr.envs.env_info import env_info
from awac_tr.envs.episode import Controller
from awac_tr.evaluation.evaluate import Evaluation
from awac_tr.video.camera import drawing_env
from awac_tr.video.mp4 import SIZE, Film, Picture

__all__ = ["FILM_FPS", "Captions", "Clip", "film", "pick_episodes", "video_folder"]

_log = logging.getLogger(__name__)

FILM_FPS: Final = 40.0
"""At most so many pictures a second. Adroit hands make 100 steps a second: each is shown, at 0.4 times the speed."""

_BAND: Final = 50
_BAR: Final = 8
_EDGE: Final = 10
_LINES: Final = (5, 26)
_WHITE: Final = (255, 255, 255)
_GREEN: Final = (90, 220, 110)
_GREY: Final = (150, 150, 150)


@dataclass(frozen=True)
class Clip:
    """One film.

    Attributes:
        role: ``best``, ``median`` or ``worst``.
        path: the mp4 file.
        seed: of the episode.
        episode_return: undiscounted sum of its rewards.
        frames: one after the reset and one after each step.
        fps: frames a second.
        speed: of the film against the clock of the simulation; 1: real time.
        replaced: a file of that name was there before.
    """

    role: str
    path: Path
    seed: int
    episode_return: float
    frames: int
    fps: float
    speed: float
    replaced: bool


def pick_episodes(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Best, median and worst episode by return; among equals by goal steps, then the smaller seed is the better.

    Args:
        rows: of an evaluation: ``seed``, ``return`` and, where there is success, ``goal_count``.

    Returns:
        Role -> row, every episode once: two episodes have no median, one is just the best. With an even number the
        median is the better one of the middle two.

    Example:
        >>> rows = [{"seed": 1, "return": -3.0}, {"seed": 2, "return": -1.0}, {"seed": 3, "return": -3.0}]
        >>> {role: row["seed"] for role, row in pick_episodes(rows).items()}
        {'best': 2, 'median': 1, 'worst': 3}
    """
    ranked = sorted(rows, key=lambda row: (-row["return"], -row.get("goal_count", 0), row["seed"]))
    picked = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    taken: set[int] = set()
    for role in ("best", "worst", "median"):
        if picked[role] in taken:
            del picked[role]
        else:
            taken.add(picked[role])
    return {role: ranked[place] for role, place in picked.items()}


def video_folder(checkpoint: Path) -> Path:
    """Where films of a checkpoint go by default: ``videos`` in its run folder, or beside a checkpoint that has none."""
    folder = checkpoint.resolve().parent
    if folder.name == "checkpoints" and (folder.parent / "recipe.yaml").is_file():
        folder = folder.parent
    return folder / "videos"


def film(evaluation: Evaluation, folder: Path, on_clip: Callable[[Clip], None] | None = None) -> list[Clip]:
    """Roll out the picked episodes again from their seeds, and film them.

    The way to draw is chosen by :func:`awac_tr.envs.gl.use_backend`, if that has not been done. ``best.mp4``,
    ``median.mp4`` and ``worst.mp4`` go into the folder; it is made if missing, files in it are replaced.

    Raises:
        VideoError: no picture could be drawn, or no film written.
    """
    from awac_tr.policies.controllers import load_controller  # torch comes with it, which no still picture needs

    controller = load_controller(
        evaluation.checkpoint,
        evaluation.action,
        env=env_info(evaluation.env),
        trust=evaluation.trusted,
        allow_bounds_mismatch=evaluation.allow_bounds_mismatch,
    )
    clips = []
    with drawing_env(evaluation.env, seed=evaluation.seed) as env:
        for role, row in pick_episodes(evaluation.episodes).items():
            clips.append(_film_one(env, controller, evaluation, role, row, folder / f"{role}.mp4"))
            if on_clip is not None:
                on_clip(clips[-1])
    return clips


def _film_one(
    env: Any, controller: Controller, evaluation: Evaluation, role: str, row: Mapping[str, Any], path: Path
) -> Clip:
    clock = float(env.metadata.get("render_fps") or FILM_FPS)
    fps = min(clock, FILM_FPS)
    replaced = path.exists()
    title = f"{evaluation.env.id}   {role} of {len(evaluation.episodes)}   seed {row['seed']}"
    if fps != clock:
        title += f"   speed x{fps / clock:.2g}"
    with Film(path, fps, comment=f"{evaluation.checkpoint.name}, {title}, return {row['return']:g}") as reel:
        captions = Captions(title, evaluation.env.horizon or 0, reel.add)
        episode = rollout(env, controller, row["seed"], on_frame=captions)
    if float(episode.rewards.sum(dtype=np.float64)) != row["return"]:
        _log.warning(
            "%s is not what was measured: rolled out again, seed %d gave return %g instead of %g.",
            path.name, row["seed"], episode.rewards.sum(), row["return"],
        )  # fmt: skip
    return Clip(role, path, row["seed"], row["return"], reel.frames, fps, fps / clock, replaced)


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
