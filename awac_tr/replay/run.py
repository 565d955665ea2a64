"""Replay a dataset file: its episodes one by one, and what they say together."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.format.meta import versions
from awac_tr.data.format.spec import EPISODES
from awac_tr.data.storage.action_reader import conversion_of
from awac_tr.data.storage.reader import Dataset, open_dataset
from awac_tr.envs.action_units import Conversion
from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env
from awac_tr.errors import DatasetError
from awac_tr.recipes.env_files import chosen_env
from awac_tr.recipes.schema import EnvSection
from awac_tr.replay.compare import EpisodeReplay, replay_episode
from awac_tr.replay.verdict import remarks, verdict

if TYPE_CHECKING:
    from awac_tr.replay.film import ReplayFilms

_LOG = logging.getLogger(__name__)

__all__ = ["TOLERANCE", "ReplayReport", "replay", "task_of"]

TOLERANCE: Final = 1e-4
"""Observations are float32 of size 1 or 10: rounding is a thousand times smaller, another physics a thousand larger."""

_INITIAL: Final = f"{EPISODES}/init_"


@dataclass(frozen=True)
class ReplayReport:
    """What became of a file.

    Attributes:
        path: the file.
        env_id: the simulator.
        env_kwargs: keyword arguments it was made with.
        tolerance: difference beyond which a replay departs.
        recorded: package -> version the file was made with; empty for files of others.
        installed: package -> version that replayed it.
        episodes: one by one.
        films: made of them, in this order.
    """

    path: Path
    env_id: str
    env_kwargs: dict[str, Any]
    tolerance: float
    recorded: dict[str, str]
    installed: dict[str, str]
    episodes: tuple[EpisodeReplay, ...]
    films: tuple[Path, ...] = ()

    @property
    def agrees(self) -> bool:
        """Every episode that could be played came out as recorded."""
        return all(one.agrees for one in self.episodes if one.possible)

    @property
    def verdict(self) -> str:
        """Whether the dataset belongs to this simulator, a sentence."""
        return verdict(self.episodes, self.env_id, self.tolerance)

    @property
    def remarks(self) -> list[str]:
        """What stands out, a sentence each."""
        return remarks(self.episodes, self.recorded, self.installed)

    @property
    def totals(self) -> dict[str, Any]:
        """Over all episodes that could be played: counts, and the largest differences."""
        played = [one for one in self.episodes if one.possible]
        told = [one for one in played if None not in (one.success_recorded, one.success_replayed)]
        return {
            "episodes": len(self.episodes),
            "played": len(played),
            "steps": sum(one.played for one in played),
            "agree": sum(one.agrees for one in played),
            "exact": sum(one.exact for one in played),
            "state_error": max((one.state_error for one in played), default=0.0),
            "reward_error": max((one.reward_error for one in played), default=0.0),
            "reward_departures": sum(one.reward_departures for one in played),
            "last_reward_agrees": sum(one.last_reward_agrees for one in played),
            "success_told": len(told),
            "success_agrees": sum(one.success_recorded == one.success_replayed for one in told),
            "rows_checked": sum(one.rows_checked for one in played),
            "row_departures": sum(len(one.row_departures) for one in played),
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        plain = {name: getattr(self, name) for name in ("agrees", "verdict", "remarks", "totals")}
        episodes = [asdict(one) | {"agrees": one.agrees, "exact": one.exact} for one in self.episodes]
        return {
            **asdict(self),
            "path": str(self.path),
            "films": [str(film) for film in self.films],
            **plain,
            "episodes": episodes,
        }


def replay(
    path: str | Path,
    *,
    episodes: Sequence[int] | None = None,
    env: str | EnvSection | None = None,
    trust: bool = False,
    tolerance: float = TOLERANCE,
    row_by_row: bool = True,
    on_episode: Callable[[EpisodeReplay], None] | None = None,
    films: Path | None = None,
) -> ReplayReport:
    """Play the recorded actions in the installed simulator and compare.

    Args:
        path: the dataset.
        episodes: numbers of those to replay; None: all.
        env: simulator to replay in; None: the one the file names.
        trust: import the code that the file names for its environment.
        tolerance: difference beyond which a replay departs.
        row_by_row: where an episode departs and states are recorded, also play every action from its own recorded
            state, which tells the very rows that are wrong from a sum that drifts.
        on_episode: called after each episode.
        films: folder for films of the episodes, made if missing; None: none are made.

    Raises:
        DatasetError: the file cannot be read, does not say its environment, was made in one of other sizes, or no
            episode has a start to be set.
        EnvError: the environment is unknown here, or cannot be made.
        UntrustedCodeError: the file names code, ``env`` does not, and ``trust`` is False.
        VideoError: films were asked for and cannot be made.
    """
    with open_dataset(path) as dataset:
        numbers = _numbers(dataset, episodes)
        task = task_of(dataset, env, trust=trust)
        convert = _conversion(dataset, task)
        with _simulator(dataset, task, films) as (simulator, shown):
            found = []
            for number in numbers:
                noted, recorded = _noted(dataset, number), dataset.episode(number)
                if convert is not None:
                    recorded = replace(recorded, actions=convert(recorded.actions))
                with shown.filming(number, recorded) if shown else nullcontext() as on_step:
                    options: dict[str, Any] = {"row_by_row": row_by_row, "on_step": on_step}
                    found.append(replay_episode(simulator, number, recorded, noted, tolerance, **options))
                if on_episode is not None:
                    on_episode(found[-1])
        _refuse_nothing(dataset, found)
        made_with = _versions(dataset.attributes)
    about = (Path(path), task.id, task.kwargs, tolerance, made_with, versions(), tuple(found))
    return ReplayReport(*about, films=tuple(shown.films) if shown else ())


def _numbers(dataset: Dataset, episodes: Sequence[int] | None) -> Sequence[int]:
    if episodes is None:
        return range(dataset.n_episodes)
    missing = [number for number in episodes if not 0 <= number < dataset.n_episodes]
    if missing:
        message = f"dataset {dataset.path} has {dataset.n_episodes} episodes, none of number {missing[0]}"
        raise DatasetError(message, "They are counted from 0.")
    return episodes


def task_of(dataset: Dataset, env: str | EnvSection | None = None, *, trust: bool = False) -> EnvSection:
    """The simulator for a file, with a horizon that no episode is longer than.

    An id alone leaves the rest of the description to the file, where it names the same.

    Raises:
        DatasetError: the file names none, or its actions were not executed.
        UntrustedCodeError: the file names code, ``env`` does not, and ``trust`` is False.
    """
    meta = dataset.meta
    if not (env or meta.env_id):
        raise DatasetError(f"dataset {dataset.path} does not say its environment", "Name it with --env.")
    if meta.extra.get("label") == "clean":
        message = (
            f"dataset {dataset.path} cannot be replayed: its actions are labels without the noise that was executed"
        )
        raise DatasetError(message, "Collect with --label executed for a file that can.")
    lengths = np.diff(dataset.episode_bounds, axis=1)
    described = chosen_env(f"dataset {dataset.path}", meta.env if meta.env_id else None, env, trust=trust)
    return described.model_copy(update={"horizon": int(max(lengths.max(), meta.horizon or 1))})


def _conversion(dataset: Dataset, task: EnvSection) -> Conversion | None:
    """How recorded actions become those of the simulator; None: as they stand.

    Raises:
        DatasetError: nobody can tell.
    """
    facts = env_info(task)
    if facts.units is None or dataset.shape("actions")[1] != facts.action_size:
        return None  # refused by name where the simulator is made
    converted = conversion_of(dataset, facts, facts.units)
    if converted is not None:
        _LOG.info("%s: actions converted, %s", dataset.path, converted)
    return converted


@contextmanager
def _simulator(dataset: Dataset, task: EnvSection, films: Path | None) -> Iterator[tuple[Any, ReplayFilms | None]]:
    env = make_env(task)
    try:
        for name, space in (("observations", env.observation_space), ("actions", env.action_space)):
            if dataset.shape(name)[1:] != space.shape:
                sizes = f"{name} have {dataset.shape(name)[1]} numbers, in {task.id} {(space.shape or (0,))[0]}"
                raise DatasetError(f"dataset {dataset.path}: {sizes}", "It was made in another environment.")
        if films is None:
            yield env, None
            return
    finally:
        env.close()
    from awac_tr.replay.film import replay_films

    with replay_films(films, task) as shown:
        yield shown.env, shown


def _noted(dataset: Dataset, number: int) -> dict[str, np.ndarray[Any, Any]]:
    names = [name for name in dataset.array_names if name.startswith(_INITIAL)]
    return {name.removeprefix(_INITIAL): dataset.rows(name, number, number + 1)[0] for name in names}


def _refuse_nothing(dataset: Dataset, found: Sequence[EpisodeReplay]) -> None:
    if not any(one.possible for one in found):
        raise DatasetError(
            f"dataset {dataset.path} cannot be replayed: no episode can be begun ({found[0].problem})",
            "A replay needs the seeds of the resets, or recorded simulator states (infos/qpos, infos/qvel).",
        )


def _versions(attributes: Mapping[str, Any]) -> dict[str, str]:
    try:
        found = json.loads(str(attributes.get("versions", "{}")))
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
