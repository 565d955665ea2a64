"""The episodes of a file as a table: a row an episode, by which they are chosen, and a digest to know them again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from awac_tr.data.format.hashing import canonical
from awac_tr.data.format.spec import EPISODES, SEEDS
from awac_tr.data.ops.provenance import provenance_of
from awac_tr.data.storage.reader import Dataset
from awac_tr.data.storage.scan import scan_rows
from awac_tr.errors import DatasetError

__all__ = ["EpisodeTable", "episode_numbers", "episode_table"]

Array = np.ndarray[Any, Any]

_DIGESTED: Final = ("observations", "actions", "rewards")
_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?$")


@dataclass(frozen=True)
class EpisodeTable:
    """A row an episode.

    Attributes:
        columns: name -> [E]: ``episode`` (number), ``return``, ``length``, ``success_any`` and the other measures where
            recorded, ``seed`` (-1: unknown), ``terminal`` (the task ended, it was not cut), ``source`` (text: the file
            it came from first), and every ``episodes/NAME`` of one number an episode.
        digests: of states, actions and rewards of each episode; empty where not asked for.
    """

    columns: dict[str, Array]
    digests: list[bytes]

    def __len__(self) -> int:
        return len(self.columns["episode"])


def episode_table(dataset: Dataset, *, digests: bool = False) -> EpisodeTable:
    """Read what a file tells of its episodes; memory goes with their number, not with that of the rows.

    With ``digests`` also the digest of every episode, for which most of the file is read.
    """
    digest = _Digests()
    measures = scan_rows(dataset, _DIGESTED if digests else (), digest if digests else lambda *_: None)
    bounds, origins = dataset.episode_bounds, provenance_of(dataset)
    columns: dict[str, Array] = {"episode": np.arange(len(bounds)), **measures}
    ends = bounds[:, 1] - 1
    columns["terminal"] = np.concatenate(
        [
            block["terminals"][ends[(start <= ends) & (ends < start + len(block["terminals"]))] - start]
            for start, block in dataset.blocks(("terminals",))
        ]
    )
    columns["seed"] = dataset.rows(SEEDS) if _per_episode(dataset, SEEDS, len(bounds)) else np.full(len(bounds), -1)
    columns["source"] = origins.names()
    for name in dataset.array_names:
        folder, _, short = name.partition("/")
        if folder == EPISODES and short not in {*columns, "seeds"} and _per_episode(dataset, name, len(bounds)):
            columns[short] = dataset.rows(name)
    return EpisodeTable(columns, digest.finish())


def _per_episode(dataset: Dataset, name: str, episodes: int) -> bool:
    return name in dataset.array_names and dataset.shape(name) == (episodes,)


class _Digests:
    """SHA-256 of each episode while its rows come by in blocks."""

    def __init__(self) -> None:
        self._open = [hashlib.sha256() for _ in _DIGESTED]
        self._begun = False
        self._done: list[bytes] = []

    def __call__(self, _start: int, block: Mapping[str, Array]) -> None:
        arrays = [canonical(block[name]) for name in _DIGESTED]
        begin = 0
        for end in (np.flatnonzero(block["terminals"] | block["timeouts"]) + 1).tolist():
            self._add(arrays, begin, end)
            self._close()
            begin = end
        if begin < len(block["rewards"]):
            self._add(arrays, begin, len(block["rewards"]))

    def _add(self, arrays: list[Array], begin: int, end: int) -> None:
        for digest, rows in zip(self._open, arrays, strict=True):
            digest.update(rows[begin:end].data)
        self._begun = True

    def _close(self) -> None:
        self._done.append(hashlib.sha256(b"".join(digest.digest() for digest in self._open)).digest())
        self._open, self._begun = [hashlib.sha256() for _ in _DIGESTED], False

    def finish(self) -> list[bytes]:
        """A last episode without an end is included."""
        if self._begun:
            self._close()
        return self._done


def episode_numbers(text: str, episodes: int) -> Array:
    """Which of so many episodes are named by numbers and ranges, both ends included, [episodes] bool.

    Raises:
        DatasetError: it is something else, or names an episode that is not there.

    Example:
        >>> episode_numbers("0-1,3", 5).tolist()
        [True, True, False, True, False]
    """
    chosen = np.zeros(episodes, dtype=np.bool_)
    for part in text.replace(" ", "").split(","):
        match = _RANGE.match(part)
        if match is None:
            raise DatasetError(f"{part!r} is no number or range of episodes", "Write for example 0-99,150.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= episodes:
            raise DatasetError(f"episodes {part}: there are {episodes}, 0 to {episodes - 1}")
        chosen[first : last + 1] = True
    return chosen
