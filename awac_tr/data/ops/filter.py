"""Some episodes of a dataset, chosen by what they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.data.ops.derive import NOWHERE, Derived, Target, derive
from awac_tr.data.ops.where import evaluate_where
from awac_tr.data.storage.episode_table import EpisodeTable, episode_numbers, episode_table
from awac_tr.data.storage.reader import open_dataset
from awac_tr.errors import DatasetError

__all__ = ["Choice", "FilterReport", "choose", "filter_dataset"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Choice:
    """Which episodes: all that pass everything that is given, in this order.

    Args:
        episodes: numbers and ranges, ``0-99,150``; empty: all.
        where: an expression over the columns, see :func:`awac_tr.data.ops.where.evaluate_where`; empty: all.
        top_fraction: of those, the share with the highest returns, 0 to 1; of equal ones the earlier.
        limit: of those, the first so many.
    """

    episodes: str = ""
    where: str = ""
    top_fraction: float | None = None
    limit: int | None = None

    def plain(self) -> dict[str, Any]:
        """What was given, as plain JSON."""
        return {name: value for name, value in vars(self).items() if value not in ("", None)}


@dataclass(frozen=True)
class FilterReport:
    """What was chosen: (chosen, of all) episodes and transitions, (mean of the chosen, mean of all) of each measure.

    ``made`` is the new file, None where none was asked for.
    """

    made: Derived | None
    episodes: tuple[int, int]
    transitions: tuple[int, int]
    measures: Mapping[str, tuple[float, float]]


def filter_dataset(
    path: str | Path, out: str | Path | None, choice: Choice, *, overwrite: bool = False
) -> FilterReport:
    """Write the episodes that are chosen into a new file, in their order.

    Args:
        path: the file.
        out: the file to make; None: only say what would be chosen.
        choice: which episodes.
        overwrite: replace ``out``.

    Raises:
        DatasetError: the choice cannot be understood or leaves nothing, or a file cannot be read or written.
    """
    with open_dataset(path) as dataset:
        table = episode_table(dataset)
        chosen = choose(table, choice)
        if not chosen.any():
            raise DatasetError(f"no episode of {dataset.path} is chosen", _ranges(table))
        made = None
        if out is not None:
            target = Target(Path(out), {"verb": "filter", **choice.plain()})
            made = derive(dataset, np.where(chosen, 0, NOWHERE), [target], overwrite=overwrite)[0]
    return _report(table, chosen, made)


def choose(table: EpisodeTable, choice: Choice) -> Array:
    """Which episodes of a table, [E] bool.

    Raises:
        DatasetError: the choice cannot be understood.
    """
    chosen = np.ones(len(table), dtype=np.bool_)
    if choice.episodes:
        chosen &= episode_numbers(choice.episodes, len(table))
    if choice.where:
        chosen &= evaluate_where(choice.where, table.columns)
    if choice.top_fraction is not None:
        if not 0 < choice.top_fraction <= 1:
            raise DatasetError(f"a top fraction of {choice.top_fraction:g}: between 0 and 1")
        numbers = np.flatnonzero(chosen)
        best = np.argsort(-table.columns["return"][numbers], kind="stable")
        # the first of the worse ones and all after it; 1e-9: 0.1 * 30 is a little more than 3
        chosen[numbers[best[math.ceil(choice.top_fraction * len(numbers) - 1e-9) :]]] = False
    if choice.limit is not None:
        chosen[np.flatnonzero(chosen)[max(choice.limit, 0) :]] = False
    return chosen


def _ranges(table: EpisodeTable) -> str:
    numbers = {
        name: values for name, values in table.columns.items() if values.dtype.kind in "fiub" and name != "episode"
    }
    said = [f"{name} {float(values.min()):g} to {float(values.max()):g}" for name, values in numbers.items()]
    return f"It has {len(table)} episodes: {', '.join(said)}."


def _report(table: EpisodeTable, chosen: Array, made: Derived | None) -> FilterReport:
    names = [name for name in table.columns if name in ("return", "length") or name.startswith("success_")]
    lengths = table.columns["length"]
    return FilterReport(
        made=made,
        episodes=(int(chosen.sum()), len(table)),
        transitions=(int(lengths[chosen].sum()), int(lengths.sum())),
        measures={
            name: (float(table.columns[name][chosen].mean()), float(table.columns[name].mean())) for name in names
        },
    )
