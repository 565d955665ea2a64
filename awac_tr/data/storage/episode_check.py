"""What an episode has to be before it is stored: sound in itself, and of the arrays of those before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from awac_tr.data.format.findings import errors_of
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.format.spec import ARRAYS, EPISODES, INFOS, SEEDS
from awac_tr.data.validation.checks import episode_findings
from awac_tr.errors import DatasetError

if TYPE_CHECKING:
    from awac_tr.envs.episode import Episode

__all__ = ["EpisodeCheck", "UnusableEpisodeError", "episode_of"]

Rows = np.ndarray[Any, Any]


class UnusableEpisodeError(DatasetError):
    """One episode that cannot be stored; those beside it may well be."""


class EpisodeCheck:
    """Looks at episodes one by one, by the bounds and sizes of what the file says about itself."""

    def __init__(self, meta: DatasetMeta) -> None:
        self._meta = meta
        self._known: dict[str, tuple[str, tuple[int, ...]]] | None = None
        self._episodes = 0

    def admit(self, episode: Episode, per_episode: Mapping[str, Rows] | None = None) -> dict[str, Rows]:
        """The arrays of an episode, by their names on disk; ``per_episode`` as in :meth:`DatasetWriter.append`.

        Raises:
            UnusableEpisodeError: it would not pass validation, or has other arrays than those before it.
        """
        errors = errors_of(episode_findings(episode, self._meta))
        if errors:
            text = "; ".join(f"{finding.where}: {finding.message}" for finding in errors)
            raise UnusableEpisodeError(f"episode {self._episodes} (seed {episode.seed}) cannot be stored: {text}")
        arrays = _rows_of(episode, per_episode or {})
        found = {name: (rows.dtype.newbyteorder("<").str, rows.shape[1:]) for name, rows in arrays.items()}
        known = found if self._known is None else self._known
        if found != known:
            differing = sorted(name for name in known.keys() | found.keys() if known.get(name) != found.get(name))
            raise UnusableEpisodeError(
                f"episode {self._episodes} differs from those before it in {', '.join(differing)}"
            )
        self._known = known
        self._episodes += 1
        return arrays


def _rows_of(episode: Episode, per_episode: Mapping[str, Rows]) -> dict[str, Rows]:
    arrays = {name: np.asarray(getattr(episode, name), dtype=kind) for name, kind in ARRAYS.items()}
    infos = {f"{INFOS}/{name}": np.asarray(rows) for name, rows in sorted(episode.infos.items())}
    seeds = {SEEDS: np.asarray([episode.seed], dtype="<i8")}
    once = {f"{EPISODES}/{name}": np.asarray(value)[np.newaxis] for name, value in sorted(per_episode.items())}
    return arrays | infos | seeds | once


def episode_of(arrays: Mapping[str, Rows]) -> Episode:
    """Back from the arrays of :meth:`EpisodeCheck.admit`, without ``per_episode``; KeyError where one is missing."""
    from awac_tr.envs.episode import Episode

    return Episode(
        **{name: arrays[name] for name in ARRAYS},
        infos={name.removeprefix(f"{INFOS}/"): rows for name, rows in arrays.items() if name.startswith(f"{INFOS}/")},
        seed=int(arrays[SEEDS][0]),
    )
