"""Films of replays: what was recorded on the left, where states were recorded, and what the simulator does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.envs.episode import Episode
from awac_tr.envs.state import has_pose, pose_of, set_pose
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection
from awac_tr.replay.compare import OnStep
from awac_tr.video.camera import drawing_env
from awac_tr.video.film import FILM_FPS, Captions
from awac_tr.video.mp4 import SIZE, Film, Picture

__all__ = ["ReplayFilms", "replay_films"]


class ReplayFilms:
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
        path, title = self._folder / f"episode-{number}.mp4", f"{self._name}   episode {number}"
        both = self._record is not None and "qpos" in episode.infos
        size = (SIZE[0] * 2, SIZE[1]) if both else SIZE
        fps = min(float(self.env.metadata.get("render_fps") or FILM_FPS), FILM_FPS)
        sides: list[Picture] = []
        film: Film | None = None
        right = Captions(f"{title}   replayed", len(episode), sides.append)
        left = Captions(f"{title}   recorded", len(episode), sides.append) if both else None
        with ExitStack() as opened:

            def show(step: int, reward: float, success: bool | None, difference: float) -> None:  # noqa: FBT001  (called as OnStep)
                nonlocal film
                if left is not None:
                    self._show_recorded(left, episode, step)
                right.note = f"apart by {difference:.2g}"
                right(self.env.render(), step, reward, None if success is None else bool(success))
                # Opened with the first picture: an episode that cannot be begun has none, and makes no film.
                comment = f"replay of episode {number}, {self._name}"
                film = film or opened.enter_context(Film(path, fps, size, comment))
                film.add(np.concatenate(sides, axis=1))
                sides.clear()

            yield show
        if film is not None:
            self.films.append(path)

    def _show_recorded(self, captions: Captions, episode: Episode, step: int) -> None:
        """A recorded state; after the last action, whose state was not recorded, the one before."""
        row, success = min(step, len(episode) - 1), episode.infos.get("success")
        set_pose(self._record, {name: rows[row] for name, rows in episode.infos.items()})
        reward = float(episode.rewards[step - 1]) if step else float("nan")
        captions(self._record.render(), step, reward, bool(success[step - 1]) if step and success is not None else None)


@contextmanager
def replay_films(folder: Path, section: EnvSection) -> Iterator[ReplayFilms]:
    """The simulators that films need, closed afterwards.

    Raises:
        VideoError: nothing here can draw the environment.
    """
    with drawing_env(section) as env:
        if not has_pose(env):
            yield ReplayFilms(folder, env, None, section.id)
            return
        with drawing_env(section) as record:
            yield ReplayFilms(folder, env, record if _can_be_set(record) else None, section.id)


def _can_be_set(env: Any) -> bool:
    """Whether states of this environment can be set; some keep what :func:`set_pose` needs to themselves."""
    try:
        set_pose(env, pose_of(env))
    except EnvError:
        return False
    return True
