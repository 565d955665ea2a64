"""What a format's reader gives: the recorded episodes as they stand, and what the recording says about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from awac_tr.data.converters.passport import Passport
from awac_tr.recipes.schema import EnvSection

__all__ = ["ImportSettings", "Origin", "Reader", "Recorded", "Recording", "origin_of"]

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
        filter_key: robomimic: only the episodes listed under this mask.
        dones: what ``done`` in the last row of an episode means where a format has only that: the task ended there
            (``terminal``), or the recording did (``cut``).
    """

    env_id: str | EnvSection = ""
    horizon: int | None = None
    licence: str = ""
    relabel: bool = False
    reward: float | None = None
    obs_keys: tuple[str, ...] = ()
    filter_key: str = ""
    dones: Literal["terminal", "cut"] = "terminal"


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
        passport: where the file is an export of ours: all that the dataset said about itself.
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
    passport: Passport | None = None


def origin_of(format_name: str, name: str, passport: Passport | None, **otherwise: Any) -> Origin:
    """The origin of a recording: from its passport where it is an export of ours, else from what its reader found.

    Args:
        format_name: name of the format.
        name: file or id.
        passport: of an export of ours.
        **otherwise: arguments of :class:`Origin`.
    """
    if passport is None:
        return Origin(format_name, name, **otherwise)
    return Origin(format_name, name, passport.meta.env_id, passport.meta.env_kwargs, passport=passport)


class Recording(Protocol):
    """An open recording; ``notes`` is complete once the episodes have been gone through."""

    origin: Origin
    notes: list[str]

    def episodes(self) -> Iterator[Recorded]:
        """The episodes in their order, one at a time; can be asked for again."""

    def action_blocks(self) -> Iterator[Array]:
        """All actions, [n, a] each: to see their range."""


class Reader(Protocol):
    """What the module of a format that can be imported has."""

    def open_recording(self, source: str, settings: ImportSettings) -> AbstractContextManager[Recording]:
        """Open a file, folder or id of the format."""
