"""Where each episode of a combined file came from first, however often it was merged, split and filtered since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from awac_tr.data.format.meta import Parent
from awac_tr.data.format.spec import EPISODES
from awac_tr.data.storage.reader import Dataset

__all__ = ["ORIGIN", "ORIGIN_EPISODE", "SOURCES", "Provenance", "as_parent", "joined", "provenance_of"]

Array = np.ndarray[Any, Any]

ORIGIN: Final = f"{EPISODES}/source"
"""[E] int64: place of the file an episode came from first in ``extra["sources"]``."""

ORIGIN_EPISODE: Final = f"{EPISODES}/source_episode"
"""[E] int64: its number in that file."""

SOURCES: Final = "sources"
"""Key of ``extra``: the files, each as name, hash, source, policy, seed and licence."""


@dataclass(frozen=True)
class Provenance:
    """The first files of some episodes: ``index`` [E] says which of the sources, ``episode`` [E] the number there.

    Of each source stands what :func:`provenance_of` notes.
    """

    sources: tuple[Mapping[str, Any], ...]
    index: Array
    episode: Array

    def names(self) -> Array:
        """Name of the first file of each episode, [E] text."""
        return np.array([str(source.get("name", "")) for source in self.sources] or [""])[self.index]

    def arrays(self) -> dict[str, Array]:
        """As they are stored."""
        return {ORIGIN: self.index, ORIGIN_EPISODE: self.episode}


def provenance_of(dataset: Dataset) -> Provenance:
    """What a file says of the first files of its episodes; of one that was not combined, that is itself."""
    episodes, noted = dataset.n_episodes, dataset.meta.extra.get(SOURCES)
    known = all(name in dataset.array_names and dataset.shape(name) == (episodes,) for name in (ORIGIN, ORIGIN_EPISODE))
    if known and isinstance(noted, list) and all(isinstance(source, dict) for source in noted):
        index = dataset.rows(ORIGIN)
        if index.dtype.kind in "iu" and index.min() >= 0 and index.max() < len(noted):
            return Provenance(tuple(noted), index.astype("<i8"), dataset.rows(ORIGIN_EPISODE).astype("<i8"))
    meta = dataset.meta
    about: dict[str, Any] = {
        "name": dataset.path.stem,
        "hash": dataset.content_hash,
        "source": meta.source,
        "policy": meta.policy,
    }
    about |= {"seed": meta.seed, "licence": meta.licence}
    return Provenance((about,), np.zeros(episodes, dtype="<i8"), np.arange(episodes, dtype="<i8"))


def joined(parts: Sequence[Provenance]) -> tuple[list[Mapping[str, Any]], list[Array]]:
    """One list of files for several datasets, each file once, and for each dataset the places in that list."""
    sources: list[Mapping[str, Any]] = []
    places = []
    for part in parts:
        for source in part.sources:
            if source not in sources:
                sources.append(source)
        own = np.array([sources.index(source) for source in part.sources], dtype="<i8")
        places.append(own[part.index])
    return sources, places


def as_parent(dataset: Dataset) -> Parent:
    """A dataset as it is noted in those made from it."""
    return Parent(dataset.path.stem, dataset.content_hash, dataset.meta.source)
