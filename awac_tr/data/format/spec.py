"""Dataset file format 1: names, types and attributes, once. ``docs/dataset-format.md`` is the normative page."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ARRAYS",
    "EPISODES",
    "FLAGS",
    "FOREIGN",
    "FORMAT",
    "HASH_ATTRIBUTE",
    "INFOS",
    "MATRICES",
    "SEEDS",
    "VERSION",
    "chunk_rows",
]

FORMAT: Final = "awac-tr-dataset"
VERSION: Final = 1

ARRAYS: Final[dict[str, str]] = {
    "observations": "<f4",
    "actions": "<f4",
    "rewards": "<f4",
    "next_observations": "<f4",
    "terminals": "|b1",
    "timeouts": "|b1",
}
"""The six arrays every file has, and their numpy types (little-endian float32, bool), one row a transition."""

MATRICES: Final = ("observations", "actions", "next_observations")
"""The arrays of shape [N, width]; the others are [N]."""

FLAGS: Final = ("terminals", "timeouts")
"""A row with one of these set is the last of its episode."""

INFOS: Final = "infos"
"""Group of optional arrays, one row a transition: ``infos/success`` [N] bool, ``infos/qpos``, ``infos/qvel`` ..."""

EPISODES: Final = "episodes"
"""Group of arrays with one row an episode."""

SEEDS: Final = f"{EPISODES}/seeds"
"""The seed each episode was reset with, [E] int64; -1 where it has none."""

HASH_ATTRIBUTE: Final = "sha256"
"""Attribute of every array: hash of its bytes."""

FOREIGN: Final = (
    "not written by awac-tr: environment and horizon unknown, no content hash, action bounds taken as [-1, 1]"
)
"""What is said of a file without our attributes."""

_CHUNK_BYTES: Final = 1 << 18


def chunk_rows(row_bytes: int) -> int:
    """Rows a chunk: 256 KiB of data, at least 1 row and at most 1024, so that a small file stays small.

    Example:
        >>> chunk_rows(39 * 4), chunk_rows(1), chunk_rows(84 * 84 * 3 * 4)
        (1024, 1024, 3)
    """
    return max(1, min(1024, _CHUNK_BYTES // max(1, row_bytes)))
