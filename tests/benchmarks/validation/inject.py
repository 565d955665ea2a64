"""Defects, by what docs/validation.md says of each code and by nothing else: places and sizes are drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from validation.clean import Data
from validation.formats import FORMATS

Array = np.ndarray[Any, Any]
Random = np.random.Generator
Inject = Callable[[Data, Random], bool]
"""Spoils data in place; False: these data cannot hold the defect."""

FLAT: Final = ("ours", "d4rl")
PAIRS: Final = ("ours", "d4rl", "robomimic")
REWARDED: Final = ("ours", "d4rl", "minari", "robomimic", "lerobot")
IMPLIED: Final = "next observations are implied, not stored"
RECOMPUTED: Final = "the import computes rewards anew"
NOT_SAID: Final = "the format has no place for it"


@dataclass(frozen=True)
class Defect:
    """How to make one kind of defect.

    Args:
        code: of the finding that says so.
        inject: spoils data.
        formats: that can carry it.
        why: of the others, why not.
        envs: of the plays; empty: all.
        named: only where the environment is named.
    """

    code: str
    inject: Inject
    formats: tuple[str, ...]
    why: str
    envs: tuple[str, ...] = ()
    named: bool = False


DEFECTS: list[Defect] = []


def defect(code: str, formats: tuple[str, ...] = FORMATS, why: str = "", **more: Any) -> Callable[[Inject], Inject]:
    """Note how to make a defect."""

    def note(inject: Inject) -> Inject:
        DEFECTS.append(Defect(code, inject, formats, why, **more))
        return inject

    return note


def size(rng: Random, most: int) -> int:
    """A count in 1..most, uniform in its logarithm."""
    return min(most, int(np.exp(rng.uniform(0, np.log(most + 1)))))


def some(rng: Random, among: Array) -> Array:
    """A few up to all of these rows, in a run or scattered."""
    count = size(rng, len(among))
    if rng.random() < 0.5:
        first = int(rng.integers(len(among) - count + 1))
        return np.asarray(among[first : first + count])
    return np.sort(rng.choice(among, count, replace=False))


def some_columns(rng: Random, width: int) -> Array:
    """A few up to all columns."""
    return rng.choice(width, size(rng, width), replace=False)


def states_of(data: Data) -> tuple[Array, Array]:
    return data.arrays["observations"], data.arrays["next_observations"]
