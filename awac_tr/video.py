"""Film the best, the median and the worst episode of an evaluation: H.264 in mp4, with the numbers drawn into the picture.

The films are encoded by the ffmpeg program that the wheel of ``imageio-ffmpeg`` brings along: it comes with pip on every
platform, runs as a process of its own (a crash or a full disk there is an exit status here), binds to no Python version, and
``IMAGEIO_FFMPEG_EXE`` puts another one in its place. PyAV would link the same encoder into this process.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from awac_tr.errors import AwacError, EnvError

if TYPE_CHECKING:
    from awac_tr.envs.episode import Controller
    from awac_tr.evaluate import Evaluation

__all__ = ["FILM_FPS", "SIZE", "Clip", "Film", "VideoError", "film", "pick_episodes", "video_folder"]

_log = logging.getLogger(__name__)

SIZE: Final = (640, 480)
FILM_FPS: Final = 40.0
"""At most so many pictures a second. The Adroit hands move at 100 steps a second: every step is shown, at 0.4 times the speed."""

_BAND: Final = 50
_BAR: Final = 8
_WHITE: Final = (255, 255, 255)
_GREEN: Final = (90, 220, 110)
_GREY: Final = (150, 150, 150)

Picture = NDArray[np.uint8]


class VideoError(AwacError):
    """Pictures cannot be drawn, or films not be written; the numbers stand all the same."""


@dataclass(frozen=True)
class Clip:
    """One film.

    Attributes:
        role: ``best``, ``median`` or ``worst``.
        path: the mp4 file.
        seed: of the episode.
        episode_return: undiscounted sum of its rewards.
        frames: pictures in the film: one after the reset and one after each step.
        fps: pictures a second.
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
        Role -> row, every episode once: two episodes have no median, one is just the best. With an even number the median is
        the better one of the middle two.

    Example:
        >>> rows = [{"seed": 1, "return": -3.0}, {"seed": 2, "return": -1.0}, {"seed": 3, "return": -3.0}]
        >>> {role: row["seed"] for role, row in pick_episodes(rows).items()}
        {'best': 2, 'median': 1, 'worst': 3}
    """
    ranked = sorted(rows, key=lambda row: (-row["return"], -row.get("goal_count", 0), row["seed"]))
    places = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    if len(ranked) < 3:
        del places["median"]
    if len(ranked) < 2:
        del places["worst"]
    return {role: ranked[place] for role, place in places.items()}


def video_folder(checkpoint: Path) -> Path:
    """Where films of a checkpoint go by default: ``videos`` in its run folder, or beside a checkpoint that has none."""
    folder = checkpoint.resolve().parent
    if folder.name == "checkpoints" and (folder.parent / "recipe.yaml").is_file():
        folder = folder.parent
    return folder / "videos"


def film(evaluation: Evaluation, folder: Path, on_clip: Callable[[Clip], None] | None = None) -> list[Clip]:
    """Roll out the picked episodes again from their seeds, and film them.

    In a program of your own call :func:`awac_tr.envs.gl.use_backend` first, before anything imports mujoco.

    Args:
        evaluation: what to film.
        folder: where ``best.mp4``, ``median.mp4`` and ``worst.mp4`` go; made if missing, files in it replaced.
        on_clip: called with each clip as it is finished.

    Raises:
        VideoError: no picture could be drawn, or no film written.
    """
    from awac_tr.policies.controllers import load_controller

    controller = load_controller(evaluation.checkpoint, evaluation.action)
    clips = []
    with _stage(evaluation) as env:
        for role, row in pick_episodes(evaluation.episodes).items():
            clips.append(_film_one(env, controller, evaluation, role, row, folder / f"{role}.mp4"))
            if on_clip is not None:
                on_clip(clips[-1])
    return clips


@contextmanager
def _stage(evaluation: Evaluation) -> Iterator[Any]:
    """The environment of an evaluation, able to draw itself, in our size where it takes one."""
    from awac_tr.envs.gl import lighten, use_backend
    from awac_tr.envs.make import make_env

    size = {"width": SIZE[0], "height": SIZE[1]}
    options: dict[str, Any] = {"horizon": evaluation.horizon, "render_mode": "rgb_array"}
    try:
        env = make_env(evaluation.env_id, kwargs=size | dict(evaluation.env_kwargs), **options)
    except EnvError:
        env = make_env(evaluation.env_id, kwargs=evaluation.env_kwargs, **options)
    if use_backend().software:
        lighten(env)
    try:
        try:
            env.reset(seed=evaluation.seed)
            picture: Any = env.render()
        except Exception as error:
            raise VideoError(f"{evaluation.env_id} could not be drawn: {error}") from error
        if not isinstance(picture, np.ndarray) or picture.ndim != 3:
            raise VideoError(f"{evaluation.env_id} draws no pictures: render() gave {type(picture).__name__}")
        yield env
    finally:
        env.close()


def _film_one(
    env: Any, controller: Controller, evaluation: Evaluation, role: str, row: Mapping[str, Any], path: Path
) -> Clip:
    from awac_tr.envs.episode import rollout

    clock = float(env.metadata.get("render_fps") or FILM_FPS)
    fps = min(clock, FILM_FPS)
    replaced = path.exists()
    title = f"{evaluation.env_id}   {role} of {len(evaluation.episodes)}   seed {row['seed']}"
    if fps != clock:
        title += f"   speed x{fps / clock:.2g}"
    with Film(path, fps, comment=f"{evaluation.checkpoint.name}, {title}, return {row['return']:g}") as reel:
        captions = _Captions(title, evaluation.horizon, reel)
        episode = rollout(env, controller, row["seed"], on_frame=captions)
    if float(episode.rewards.sum(dtype=np.float64)) != row["return"]:
        _log.warning(
            "Rolled out again, seed %d of %s gave return %g instead of %g: the film shows another episode than the one measured.",
            row["seed"], evaluation.env_id, episode.rewards.sum(), row["return"],
        )  # fmt: skip
    return Clip(role, path, row["seed"], row["return"], reel.frames, fps, fps / clock, replaced)


class _Captions:
    """Draws step, reward, return and success into the pictures of one episode, and hands them to the film.

    A bar at the foot shows how far the episode is, green where it was in a goal state.
    """

    def __init__(self, title: str, horizon: int, reel: Film) -> None:
        self._title, self._horizon, self._reel = title, horizon, reel
        self._return = 0.0
        self._goals: list[bool] = []

    def __call__(self, picture: Picture, step: int, reward: float, success: bool | None) -> None:
        if not math.isnan(reward):
            self._return += reward
            self._goals.append(bool(success))
        image = _fitted(picture)
        width, height = image.size
        band = image.crop((0, 0, width, _BAND)).point(lambda value: value * 0.3)
        image.paste(band, (0, 0))
        draw = ImageDraw.Draw(image)
        draw.text((10, 5), self._title, font=_font(15), fill=_WHITE)
        line = f"step {step:>3}/{self._horizon}   reward {'-' if math.isnan(reward) else f'{reward:.3g}'}   return {self._return:.5g}"
        draw.text((10, 26), line, font=_font(15), fill=_WHITE)
        if success is not None:
            draw.text((width - 10, 26), "success" if success else "no success", font=_font(15), fill=_GREEN if success else _GREY, anchor="ra")
        for index, goal in enumerate(self._goals):
            left, right = (round(width * (index + end) / self._horizon) for end in (0, 1))
            draw.rectangle((left, height - _BAR, max(left, right - 1), height), fill=_GREEN if goal else _GREY)
        self._reel.add(np.asarray(image))


def _fitted(picture: Picture) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
    return image if image.size == SIZE else ImageOps.pad(image, SIZE)


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font: nothing is looked up on the machine."""
    return ImageFont.load_default(size)


class Film:
    """An mp4 file being made: H.264 in yuv420p with the index up front, which browsers and old players show.

    The file takes its name when the block ends well; until then, and after an error, there is only ``NAME.part``, then nothing.

    Args:
        path: of the file; missing folders are made.
        fps: pictures a second.
        size: width and height of the pictures; even numbers.
        comment: kept in the file.

    Raises:
        VideoError: there is no encoder, or the file cannot be written.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int] = SIZE, comment: str = "") -> None:
        self.path, self.frames = path, 0
        self._part = path.with_name(path.name + ".part")
        self._command = [
            *(_encoder(), "-y", "-nostdin", "-loglevel", "error"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}", "-i", "-"),
            *("-an", "-c:v", "libx264", "-profile:v", "main", "-pix_fmt", "yuv420p", "-crf", "20"),
            *("-movflags", "+faststart", "-metadata", f"comment={comment}", "-f", "mp4", str(self._part)),
        ]
        self._shape = (size[1], size[0], 3)

    def __enter__(self) -> Film:
        self._said: IO[bytes] = tempfile.TemporaryFile()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # A session of its own: Ctrl-C reaches us, and we end it.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said, start_new_session=True
            )
        except OSError as error:
            self._said.close()
            raise VideoError(f"could not write {self.path}: {error}", "choose another place with --out.") from error
        return self

    def add(self, picture: Picture) -> None:
        """Append a picture [height, width, 3] uint8."""
        if picture.shape != self._shape or picture.dtype != np.uint8:
            raise ValueError(f"expected a picture {self._shape} of uint8, got {picture.shape} of {picture.dtype}")
        try:
            self._pipe.write(picture.tobytes())
        except OSError as error:
            self._process.wait()
            raise self._trouble() from error
        self.frames += 1

    @property
    def _pipe(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise ValueError("the film is finished")
        return self._process.stdin

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._pipe.close()
            self._said.close()
            self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        try:
            self._pipe.flush()
        except OSError as error:
            raise self._trouble() from error
        self._pipe.close()
        if self._process.wait() != 0 or not self.frames:
            raise self._trouble()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self.path)

    def _trouble(self) -> VideoError:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "no pictures" if not self.frames else f"ffmpeg ended with {self._process.returncode}"
        return VideoError(f"could not write {self.path}: {reason}", "is the disk full, or the folder read-only?")


def _encoder() -> str:
    """The ffmpeg program."""
    from imageio_ffmpeg import get_ffmpeg_exe

    try:
        return str(get_ffmpeg_exe())
    except RuntimeError as error:
        raise VideoError(f"no encoder: {error}", "install ffmpeg, or name one in IMAGEIO_FFMPEG_EXE.") from error
