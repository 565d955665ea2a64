"""What pictures are drawn from: a few numbers, rows and episodes of a file, taken in one pass over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.plots.style import clean
from awac_tr.data.statistics.running import Bounded, RunningStatistics
from awac_tr.data.storage.reader import Dataset, open_dataset
from awac_tr.data.storage.scan import scan_rows
from awac_tr.errors import DatasetError

__all__ = ["BINS", "STATES", "Sample", "Timeline", "take_sample", "take_samples"]

Array = np.ndarray[Any, Any]

BINS: Final = 41
"""Bins between the bounds of an action; odd, so that one is centred on zero where the bounds are."""

STATES: Final = 4000
"""States drawn from a file, at random."""

_TIMELINES: Final = 12


@dataclass(frozen=True)
class Timeline:
    """Rewards [T] of one episode, by its number in the file."""

    episode: int
    rewards: NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """A file as pictures see it.

    Args:
        path: the file.
        name: of the file, made different from those beside it.
        meta: what it says about itself.
        transitions: rows.
        measures: measure -> [E], see :func:`awac_tr.envs.measures.measure`.
        states: [n, o] float32, rows drawn without replacement, in order; those with NaN or infinity are left out.
        episodes: [n] number of the episode of each state.
        progress: [n] where in its episode each state lies, 0 the first row to 1 the last.
        action_bounds: [a, 2] float64, what the bins of ``actions`` lie between.
        actions: [a, :data:`BINS`] int64, entries in each bin; those outside are counted in the outermost.
        at_bound: [a] share of the entries at either action bound.
        timelines: episodes spread evenly over the file.
    """

    path: Path
    name: str
    meta: DatasetMeta
    transitions: int
    measures: dict[str, NDArray[np.float64]]
    states: NDArray[np.float32]
    episodes: NDArray[np.int64]
    progress: NDArray[np.float64]
    action_bounds: NDArray[np.float64]
    actions: NDArray[np.int64]
    at_bound: NDArray[np.float64]
    timelines: tuple[Timeline, ...]


def take_samples(paths: Sequence[str | Path], *, states: int = STATES, seed: int = 0) -> list[Sample]:
    """Samples of several files, whose states can be compared; as many states are drawn from each, by the seed.

    Raises:
        DatasetError: a file cannot be read, or has observations of another width than the first.
    """
    names = _names([Path(path) for path in paths])
    samples = [take_sample(path, name, states=states, seed=seed) for path, name in zip(paths, names, strict=True)]
    for path, sample in zip(paths, samples, strict=True):
        found, wanted = sample.states.shape[1], samples[0].states.shape[1]
        if found != wanted:
            message = f"{path} has observations of {found} numbers, {paths[0]} of {wanted}"
            raise DatasetError(message, "Datasets in one picture come from one environment.")
    return samples


def take_sample(path: str | Path, name: str | None = None, *, states: int = STATES, seed: int = 0) -> Sample:
    """Read a file once and keep what pictures need, under a name (None: its own).

    Raises:
        DatasetError: it cannot be read.
    """
    with open_dataset(path) as dataset:
        chosen = _chosen_rows(dataset.n_transitions, states, seed)
        seen = _Seen(dataset, chosen)
        measures = scan_rows(dataset, ("observations", "actions"), seen)
        ends = np.cumsum(measures["length"]).astype(np.int64)
        kept = np.isfinite(seen.states).all(1)
        episodes, progress = _places(chosen, ends)
        return Sample(
            path=Path(path),
            name=clean(name or Path(path).stem),
            meta=dataset.meta,
            transitions=dataset.n_transitions,
            measures=measures,
            states=seen.states[kept],
            episodes=episodes[kept],
            progress=progress[kept],
            action_bounds=seen.action_bounds,
            actions=seen.actions,
            at_bound=np.add(*seen.bounded.shares),
            timelines=_timelines(dataset, ends),
        )


def _names(paths: Sequence[Path]) -> list[str]:
    """Stems, with their folder or a number where two are the same."""
    stems = [clean(path.stem) for path in paths]
    longer = [
        stem if stems.count(stem) == 1 else f"{clean(path.resolve().parent.name)}/{stem}"
        for path, stem in zip(paths, stems, strict=True)
    ]
    return [
        name if longer.count(name) == 1 else f"{name} ({longer[: number + 1].count(name)})"
        for number, name in enumerate(longer)
    ]


def _chosen_rows(rows: int, wanted: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(rows, min(rows, wanted), replace=False, shuffle=False)).astype(np.int64)


class _Seen:
    """What is kept of the blocks of a file."""

    def __init__(self, dataset: Dataset, chosen: NDArray[np.int64]) -> None:
        self._chosen = chosen
        self.states: NDArray[np.float32] = np.empty((len(chosen), dataset.shape("observations")[1]), np.float32)
        self.action_bounds = _action_bounds(dataset)
        self.actions: NDArray[np.int64] = np.zeros((len(self.action_bounds), BINS), np.int64)
        self.bounded = Bounded(dataset.meta.action_low, dataset.meta.action_high)

    def __call__(self, start: int, block: Mapping[str, Array]) -> None:
        actions, stop = block["actions"], start + len(block["actions"])
        first, last = np.searchsorted(self._chosen, (start, stop))
        self.states[first:last] = block["observations"][self._chosen[first:last] - start]
        self.bounded.feed(actions)
        for number, (low, high) in enumerate(self.action_bounds):
            column = actions[:, number]
            column = np.clip(column[np.isfinite(column)], low, high)
            self.actions[number] += np.histogram(column, BINS, (low, high))[0]


def _action_bounds(dataset: Dataset) -> NDArray[np.float64]:
    """[a, 2] the file's bounds; where it has none, the range of the actions, which takes a pass of its own."""
    bounds = np.stack([dataset.meta.action_low, dataset.meta.action_high], 1).astype(np.float64)
    if not np.isfinite(bounds).all():
        moments = RunningStatistics(len(bounds))
        for _, block in dataset.blocks(("actions",)):
            moments.feed(block["actions"])
        found = np.stack([moments.low, moments.high], 1)
        bounds = np.where(np.isfinite(bounds), bounds, np.where(np.isfinite(found), found, [[-1.0, 1.0]]))
    narrow = bounds[:, 1] <= bounds[:, 0]
    bounds[narrow] = bounds[narrow, :1] + [[-0.5, 0.5]]
    return bounds


def _places(rows: NDArray[np.int64], ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Episode of each row, and how far along in it the row lies."""
    episodes = np.searchsorted(ends, rows, side="right")
    starts = np.concatenate([[0], ends[:-1]])[episodes]
    steps = np.maximum(ends[episodes] - starts - 1, 1)
    return episodes.astype(np.int64), (rows - starts) / steps


def _timelines(dataset: Dataset, ends: NDArray[np.int64]) -> tuple[Timeline, ...]:
    starts = np.concatenate([[0], ends[:-1]])
    wanted = np.unique(np.linspace(0, len(ends) - 1, min(len(ends), _TIMELINES)).round().astype(int)).tolist()
    return tuple(Timeline(at, dataset.rows("rewards", int(starts[at]), int(ends[at]))) for at in wanted)
