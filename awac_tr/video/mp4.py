"""An mp4 file, picture by picture, that appears when it is whole.

The encoder is the ffmpeg program that the wheel of ``imageio-ffmpeg`` brings along: it comes with pip, runs as a
process of its own (a crash or a full disk there is an exit status here), binds to no Python version, and
``IMAGEIO_FFMPEG_EXE`` puts another one in its place. PyAV would link the same encoder into this process.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import AwacError
from awac_tr.utils.atomic import rename

__all__ = ["SIZE", "Film", "Picture", "VideoError"]

SIZE: Final = (640, 480)

Picture = NDArray[np.uint8]


class VideoError(AwacError):
    """Pictures cannot be drawn, or films not be written; the numbers stand all the same."""


class Film:
    """An mp4 file being made: H.264 in yuv420p with the index up front, which browsers and old players show.

    The file takes its name when the block ends well. Until then there is ``NAME.part``, after an error nothing.

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

    def __enter__(self) -> Self:
        self._said: IO[bytes] = tempfile.TemporaryFile()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # A session of its own: Ctrl-C reaches us, and we end it.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        rename(self._part, self.path)

    def _trouble(self) -> VideoError:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        silent = f"ffmpeg ended with {self._process.returncode}" if self.frames else "no pictures"
        reason = lines[-1] if lines else silent
        return VideoError(f"could not write {self.path}: {reason}", "is the disk full, or the folder read-only?")


def _encoder() -> str:
    """The ffmpeg program."""
    from imageio_ffmpeg import get_ffmpeg_exe

    try:
        return str(get_ffmpeg_exe())
    except RuntimeError as error:
        raise VideoError(f"no encoder: {error}", "install ffmpeg, or name one in IMAGEIO_FFMPEG_EXE.") from error
