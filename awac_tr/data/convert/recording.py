"""What a format's reader gives: the recorded episodes as they stand, and what the recording says about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from awac_tr.data.convert.export_card import ExportCard
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import EnvSection

__all__ = ["ImportSettings", "Origin", "Recorded", "Recording", "miscounts", "no_effect", "origin_of"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ImportSettings:
    """What the user says about a recording.

    Args:
        env_id: environment it is of, an id or a description; empty: as the recording says, or unknown.
        horizon: steps before an episode was cut; None: as the recording or the environment says.
        licence: licence of the data.
        relabel: replace rewards by the environment's own rule on the next observation.
        reward: reward of every row where the recording has none.
        obs_keys: parts of the observation, in this order, where a recording keeps it in parts; empty: all.
        filter_key: only the episodes listed under this mask.
        dones: what ``done`` in the last row of an episode means where a format has only that: the task ended there
            (``terminal``), or the recording did (``cut``); None: as the format defines it.
        ends: the arrays that say where episodes end; empty: all whose names say so.
        actions: ``raw``: in the units of the environment's action space; ``scaled``: in [-1, 1], which stands for its
            bounds; None: as the recording tells, else raw.
        out_of_bounds: what becomes of actions beyond the bounds: ``clip``, ``refuse``; None: clipped, but refused where
            they are a fifth of all, or a fifth of the rows are far beyond.

    Which of them a format looks at stands in :data:`awac_tr.data.convert.formats.FORMATS`.
    """

    env_id: str | EnvSection = ""
    horizon: int | None = None
    licence: str = ""
    relabel: bool = False
    reward: float | None = None
    obs_keys: tuple[str, ...] = ()
    filter_key: str = ""
    dones: Literal["terminal", "cut"] | None = None
    ends: tuple[str, ...] = ()
    actions: Literal["raw", "scaled"] | None = None
    out_of_bounds: Literal["clip", "refuse"] | None = None


def no_effect(option: str, where: str) -> DatasetError:
    """The error over a field of :class:`ImportSettings` that would change nothing, named as the option that sets it."""
    return DatasetError(f"--{option.replace('_', '-')} has no effect {where}", "Leave it out.")


@dataclass(frozen=True)
class Recorded:
    """One recorded episode, numbers in any type.

    Args:
        where: for messages: the place in the recording.
        observations: [T, o], before each action.
        actions: [T, a].
        rewards: [T]; None where there are none.
        next_observations: [T, o]; None where the recording has T observations, and so lacks the last one.
        terminated: the task ended with the last row; False: the episode was cut there.
        infos: name -> [T, ...].
        per_episode: name -> what is true of the whole episode.
        seed: what the reset was seeded with, -1 where unknown.
        skipped: rows before the first that are no steps, and were left out.
    """

    where: str
    observations: Array
    actions: Array
    rewards: Array | None
    next_observations: Array | None
    terminated: bool
    infos: Mapping[str, Array] = field(default_factory=dict)
    per_episode: Mapping[str, Array] = field(default_factory=dict)
    seed: int = -1
    skipped: int = 0


@dataclass(frozen=True)
class Origin:
    """What a recording says about itself.

    Args:
        format: name of the format.
        name: file or id it came from.
        env_id: environment it names, empty where it names none.
        env_kwargs: keyword arguments of that.
        horizon: steps before an episode was cut.
        action_low: lower bounds of the actions [a]; None where it has none.
        action_high: upper bounds of the actions [a].
        policy: what acted, in words.
        description: in words.
        extra: anything more, plain JSON.
        relabel: its rewards are not used: the rule of the environment makes them anew.
        export_card: where the file is an export of ours: all that the dataset said about itself.
    """

    format: str
    name: str
    env_id: str = ""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    horizon: int | None = None
    action_low: Array | None = None
    action_high: Array | None = None
    policy: str = ""
    description: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    relabel: bool = False
    export_card: ExportCard | None = None


def origin_of(format_name: str, name: str, export_card: ExportCard | None, **otherwise: Any) -> Origin:
    """The origin of a recording: from its card where it is an export of ours, else from what its reader found."""
    if export_card is None:
        return Origin(format_name, name, **otherwise)
    return Origin(format_name, name, export_card.meta.env_id, export_card.meta.env_kwargs, export_card=export_card)


class Recording(Protocol):
    """An open recording; ``notes`` is complete once the episodes have been gone through."""

    origin: Origin
    notes: list[str]

    def episodes(self) -> Iterator[Recorded | UnusableEpisodeError]:
        """The episodes in their order, one at a time, or why one cannot be used; can be asked for again."""


def miscounts(episodes: int, noted: Any, rows: int) -> list[str]:
    """What to say where a recording notes other numbers of steps than it holds.

    Args:
        episodes: that note another number of steps than they have.
        noted: steps of all episodes as the recording has it; None where it says nothing.
        rows: steps there are.
    """
    where = [f"{episodes} episodes note other numbers of steps than they have"] if episodes else []
    where += [f"the recording notes {noted} steps, there are {rows}"] if noted is not None and noted != rows else []
    return [f"{text}: it was changed or cut short, and is read as it is" for text in where]
