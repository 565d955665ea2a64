"""One dataset into several, by whole episodes, the same way every time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from awac_tr.data.ops.derive import NOWHERE, Derived, Target, derive
from awac_tr.data.storage.reader import open_dataset
from awac_tr.errors import DatasetError

__all__ = ["assign_parts", "parse_parts", "split"]

Array = np.ndarray[Any, Any]

_ROUNDING: Final = 1e-9
_NAMES: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def split(
    path: str | Path,
    parts: Mapping[str, float],
    *,
    out: str = "",
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Derived]:
    """Split a file by whole episodes.

    Which episode goes where depends on the seed, the shares and the number of episodes alone: not on the machine, nor
    on the version of any package. Within a part the episodes keep their order.

    Args:
        path: the file.
        parts: name -> share, 0 to 1; shares below 1 in all leave the rest out.
        out: where, with ``{part}`` and optionally ``{name}`` in it; empty: ``{name}-{part}.hdf5`` beside the file.
        seed: of the draw.
        overwrite: replace files that exist.

    Returns:
        Name -> the file made.

    Raises:
        DatasetError: the shares or names cannot be used, a part would be empty, or a file cannot be read or written.
    """
    with open_dataset(path) as dataset:
        destinations = assign_parts(dataset.n_episodes, list(parts.values()), seed)
        for place, name in enumerate(parts):
            if not (destinations == place).any():
                raise DatasetError(
                    f"part {name} would be empty: {dataset.n_episodes} episodes are too few for its share"
                )
        about = {"verb": "split", "seed": seed, "parts": dict(parts)}
        pattern = out or str(dataset.path.with_name("{name}-{part}.hdf5"))
        targets = [
            Target(
                _path_of(pattern, dataset.path.stem, name),
                {**about, "part": name},
                f"{name} part of {dataset.path.stem}.",
            )
            for name in parts
        ]
        made = derive(dataset, destinations, targets, overwrite=overwrite)
    return dict(zip(parts, made, strict=True))


def _path_of(pattern: str, name: str, part: str) -> Path:
    return Path(pattern.replace("{name}", name).replace("{part}", part))


def assign_parts(episodes: int, shares: list[float], seed: int) -> Array:
    """For each episode the part it goes to.

    Episodes are put in the order of the SHA-256 of ``SEED/NUMBER`` and dealt out from the front, each part as many as
    its share comes to; what rounding leaves over goes to the parts that lost most by it.

    Args:
        episodes: how many.
        shares: of each part, together at most 1.
        seed: of the order.

    Returns:
        [episodes] int64, -1 for episodes that no share reaches.

    Raises:
        DatasetError: the shares are no shares.

    Example:
        >>> assign_parts(10, [0.8, 0.2], seed=0).tolist().count(1)
        2
    """
    total = math.fsum(shares)
    if not shares or min(shares) <= 0 or total > 1 + _ROUNDING:
        raise DatasetError(f"shares of {', '.join(f'{share:g}' for share in shares)}: each above 0, together at most 1")
    wanted = [share * episodes for share in shares]
    counts = [math.floor(count + _ROUNDING) for count in wanted]
    spare = math.floor(total * episodes + _ROUNDING) - sum(counts)
    for place in sorted(range(len(shares)), key=lambda k: counts[k] - wanted[k])[:spare]:
        counts[place] += 1
    order = sorted(range(episodes), key=lambda number: hashlib.sha256(f"{seed}/{number}".encode()).digest())
    destinations = np.full(episodes, NOWHERE, dtype=np.int64)
    start = 0
    for place, count in enumerate(counts):
        destinations[order[start : start + count]] = place
        start += count
    return destinations


def parse_parts(text: str) -> dict[str, float]:
    """Parts as typed.

    Raises:
        DatasetError: it is something else.

    Example:
        >>> parse_parts("train=0.9, valid=0.1")
        {'train': 0.9, 'valid': 0.1}
    """
    parts: dict[str, float] = {}
    for piece in text.split(","):
        name, _, share = (word.strip() for word in piece.partition("="))
        try:
            value = float(share)
        except ValueError:
            value = math.nan
        if not name or not set(name) <= _NAMES or not math.isfinite(value) or name in parts:
            raise DatasetError(f"{piece.strip()!r} is no part", "Write for example train=0.9,valid=0.1.")
        parts[name] = value
    return parts
