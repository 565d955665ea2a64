"""Films of replays: what was recorded on the left, where states were recorded, and what the simulator does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.envs.episode import Episode
from awac_tr.envs.state import has_pose, set_pose
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection
from awac_tr.replay.compare import OnStep
from awac_tr.video.camera import drawing_env
from awac_tr.video.film import FILM_FPS, Captions
from awac_tr.video.mp4 import SIZE, Film, Picture

__all__ = ["Cinema", "cinema"]


class Cinema:
    """Makes ``episode-NUMBER.mp4`` files.

    Args:
        folder: where they go; files in it are replaced.
        env: the simulator that replays, able to draw itself.
        record: a second one, in which recorded states are shown; None where there are none.
        name: of the environment, for the titles.
    """

    def __init__(self, folder: Path, env: Any, record: Any, name: str) -> None:
        self.env = env
        self.films: list[Path] = []
        self._folder, self._record, self._name = folder, record, name

    @contextmanager
    def filming(self, number: int, episode: Episode) -> Iterator[OnStep]:
        """What is to be called at the steps of an episode; the film is there when the block ends well."""
        path = self._folder / f"episode-{number}.mp4"
        both = self._record is not None and "qpos" in episode.infos
        size = (SIZE[0] * 2, SIZE[1]) if both else SIZE
        fps = min(float(self.env.metadata.get("render_fps") or FILM_FPS), FILM_FPS)
        comment = f"replay of episode {number}, {self._name}"
        with ExitStack() as opened:
            # Opened with the first picture: an episode that cannot be begun has none, and makes no film.
            sides = _Sides(lambda: opened.enter_context(Film(path, fps, size, comment)), 2 if both else 1)
            shown = Captions(f"{self._name}   episode {number}   replayed", len(episode), sides.add)
            left = Captions(f"{self._name}   episode {number}   recorded", len(episode), sides.add) if both else None
            yield _Scene(self, episode, left, shown)
        if sides.opened:
            self.films.append(path)

    def recorded(self, episode: Episode, step: int) -> Picture:
        """The picture of a recorded state; after the last action, whose state was not recorded, the one before."""
        row = min(step, len(episode) - 1)
        set_pose(self._record, {name: rows[row] for name, rows in episode.infos.items()})
        picture: Picture = self._record.render()
        return picture


class _Sides:
    """A reel that puts so many pictures side by side into one of the film."""

    def __init__(self, open_reel: Callable[[], Film], count: int) -> None:
        self._open_reel, self._count = open_reel, count
        self._reel: Film | None = None
        self._waiting: list[Picture] = []

    @property
    def opened(self) -> bool:
        """There is a picture, and so a film."""
        return self._reel is not None

    def add(self, picture: Picture) -> None:
        """Take the picture of one side."""
        self._waiting.append(picture)
        if len(self._waiting) == self._count:
            self._reel = self._reel or self._open_reel()
            self._reel.add(np.concatenate(self._waiting, axis=1))
            self._waiting.clear()


class _Scene:
    """Draws both sides of one moment."""

    def __init__(self, cinema: Cinema, episode: Episode, left: Captions | None, right: Captions) -> None:
        self._cinema, self._episode, self._left, self._right = cinema, episode, left, right

    def __call__(self, step: int, reward: float, success: bool | None, difference: float) -> None:  # noqa: FBT001  (called as OnStep)
        if self._left is not None:
            success_then = self._episode.infos.get("success")
            before = step == 0
            self._left(
                self._cinema.recorded(self._episode, step),
                step,
                float("nan") if before else float(self._episode.rewards[step - 1]),
                None if before or success_then is None else bool(success_then[step - 1]),
            )
        self._right.note = f"apart by {difference:.2g}"
        self._right(self._cinema.env.render(), step, reward, None if success is None else bool(success))


@contextmanager
def cinema(folder: Path, section: EnvSection) -> Iterator[Cinema]:
    """The simulators that films need, closed afterwards.

    Raises:
        VideoError: nothing here can draw the environment.
    """
    with drawing_env(section) as env:
        if not has_pose(env):
            yield Cinema(folder, env, None, section.id)
            return
        with drawing_env(section) as record:
            yield Cinema(folder, env, record if _can_be_set(record) else None, section.id)


def _can_be_set(env: Any) -> bool:
    """Whether states of this environment can be set; some keep what :func:`set_pose` needs to themselves."""
    from awac_tr.envs.state import pose_of

    try:
        set_pose(env, pose_of(env))
    except EnvError:
        return False
    return True
