"""D4RL's flat HDF5, also its old files without ``next_observations`` or ``timeouts``.

Read as ``d4rl.qlearning_dataset`` (and CORL, which took it over) reads it:

- *Without* ``next_observations`` the next observation of row t is the observation of row t + 1. The last row of an
  episode that was cut has none and is dropped. A row that ends the task is kept; D4RL gives it the first observation
  of the next episode, which is masked and never used; we give it its own.
- *Without* ``timeouts`` an episode is cut after as many steps as the environment's horizon, counted from the last end.
  (D4RL counts one step too many after a row that ends the task; we do not.)

Where we keep more: rows with both flags are terminal (D4RL drops them), a terminal row at the very end of the file is
kept, and ``next_observations`` are used where the file has them, so the last row of a cut episode stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from awac_tr.data.converters.files import whole_hdf5
from awac_tr.data.converters.passport import issue_passport, read_passport, stored_text, write_text
from awac_tr.data.converters.recording import ImportSettings, Recorded, origin_of
from awac_tr.data.format import ARRAYS, EPISODES, INFOS, SEEDS
from awac_tr.data.hdf5 import array_of, clear_errors, open_hdf5
from awac_tr.data.reader import BLOCK_ROWS, Dataset
from awac_tr.errors import DatasetError

__all__ = ["D4RLRecording", "export", "open_recording"]

Array = np.ndarray[Any, Any]

_METADATA: Final = "metadata"
"""Group that D4RL's tools leave alone; our passport and what is true of whole episodes lie in it."""
_PASSPORT: Final = f"{_METADATA}/awac_tr"
_SHUFFLED: Final = 10
_NOTHING: Final[Array] = np.empty(0)


@contextmanager
def open_recording(source: str, settings: ImportSettings) -> Iterator[D4RLRecording]:
    """Open a flat file.

    Raises:
        DatasetError: it cannot be read, or lacks what cannot be made up.
    """
    path = Path(source)
    with open_hdf5(path) as file:
        yield D4RLRecording(path, file, settings)


class D4RLRecording:
    """An open flat file, cut into episodes.

    Args:
        path: for messages.
        file: the open file.
        settings: the horizon for files without timeouts.
    """

    def __init__(self, path: Path, file: h5py.File, settings: ImportSettings) -> None:
        self.path = path
        self.notes: list[str] = []
        self._file = file
        self._blocks: dict[str, tuple[int, Array]] = {}
        passport = read_passport(str(path), stored_text(path, file, _PASSPORT))
        self.origin = origin_of("d4rl", path.name, passport)
        self._arrays = {name: self._array(name) for name in ("observations", "actions", "rewards", "terminals")}
        self._rows = len(self._arrays["observations"])
        self._next = array_of(path, file, "next_observations")
        self._infos = self._group(INFOS)
        self._per_episode = self._group(f"{_METADATA}/{EPISODES}") if passport else {}
        self._check_rows()
        self._bounds = self._cut(settings)
        self._per_episode = {
            name: array for name, array in self._per_episode.items() if len(array) == len(self._bounds)
        }
        self._say_what_is_left()
        self._about_file = list(self.notes)

    def _array(self, name: str) -> h5py.Dataset:
        found = array_of(self.path, self._file, name)
        if found is None or not found.ndim:
            hint = "D4RL's layout has observations, actions, rewards and terminals, one row a transition."
            raise DatasetError(f"{self.path} has no array {name}", hint)
        return found

    def _group(self, name: str) -> dict[str, h5py.Dataset]:
        group = self._file.get(name)
        names = list(group) if isinstance(group, h5py.Group) else []
        found = {one: array_of(self.path, self._file, f"{name}/{one}") for one in names}
        # an array without rows has the shape () or, where it has no data at all, None
        return {one: array for one, array in found.items() if array is not None and array.shape and _is_number(array)}

    def _check_rows(self) -> None:
        arrays = dict(self._arrays) | ({} if self._next is None else {"next_observations": self._next})
        for name, array in arrays.items():
            rows = (array.shape or (0,))[0]
            if rows != self._rows:
                raise DatasetError(f"{self.path}: {name} has {rows} rows, observations has {self._rows}")
        if not self._rows:
            raise DatasetError(f"{self.path} holds no transition")
        if self._next is not None and self._next.shape != self._arrays["observations"].shape:
            shapes = f"{self._next.shape}, observations {self._arrays['observations'].shape}"
            raise DatasetError(f"{self.path}: next_observations has shape {shapes}")

    def _flags(self, name: str) -> Array:
        """A whole array of flags [N] bool; D4RL also has them as columns and as floats."""
        array = self._array(name)
        with clear_errors(self.path):
            flags = np.asarray(array[...]).reshape(len(array), -1)
        if flags.shape != (self._rows, 1):
            raise DatasetError(f"{self.path}: {name} has shape {array.shape}, expected {self._rows} rows of one flag")
        return flags[:, 0].astype(bool)

    def _cut(self, settings: ImportSettings) -> list[tuple[int, int, bool]]:
        """First row, row after the last, and whether the task ended, of every episode."""
        terminals = self._flags("terminals")
        if "timeouts" in self._file:
            timeouts = self._flags("timeouts")
            both = int((terminals & timeouts).sum())
            if both:
                self.notes.append(f"{both} rows are both terminal and cut: read as terminal (D4RL leaves them out)")
        else:
            horizon = self._horizon(settings)
            timeouts = cut_by_horizon(terminals, horizon)
            self.notes.append(f"no timeouts in the file: episodes cut after {horizon} steps without an end")
        ends = (np.flatnonzero(terminals | timeouts) + 1).tolist()
        if not ends or ends[-1] != self._rows:
            ends.append(self._rows)
            self.notes.append("the last episode has no end in the file: read as cut")
        starts = [0, *ends[:-1]]
        return [(start, end, bool(terminals[end - 1])) for start, end in zip(starts, ends, strict=True)]

    def _horizon(self, settings: ImportSettings) -> int:
        from awac_tr.envs.facts import env_facts

        horizon = settings.horizon or (env_facts(settings.env_id).horizon if settings.env_id else None)
        if not horizon:
            raise DatasetError(
                f"{self.path} has no timeouts: where an episode was cut cannot be seen in it",
                "Say after how many steps episodes were cut with --horizon, or name the environment with --env.",
            )
        return horizon

    def _say_what_is_left(self) -> None:
        known = {*ARRAYS, INFOS, _METADATA}
        odd = [f"{INFOS}/{name}" for name, array in self._infos.items() if array.shape[:1] != (self._rows,)]
        self._infos = {name: array for name, array in self._infos.items() if f"{INFOS}/{name}" not in odd}
        group = self._file.get(INFOS)
        odd += [f"{INFOS}/{name}" for name in group if name not in self._infos] if isinstance(group, h5py.Group) else []
        left = sorted({*odd, *(name for name in self._file if name not in known)})
        if left:
            self.notes.append("left out: " + ", ".join(left))

    def episodes(self) -> Iterator[Recorded]:
        """The episodes in the order of the file; more where rows do not follow each other."""
        gaps = 0
        for number, (start, stop, terminated) in enumerate(self._bounds):
            for first, after in self._pieces(start, stop):
                gaps += after != stop
                yield self._episode(number, first, after, terminated=terminated and after == stop)
        said = [f"{gaps} rows whose next observation is not the next row's, unmarked: episodes cut there"]
        self.notes = self._about_file + (said if gaps else [])

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """An episode, cut where its rows do not follow each other although no end is set."""
        if self._next is None:
            yield start, stop
            return
        following, states = self._read(self._next, start, stop), self._read(self._arrays["observations"], start, stop)
        same = (following[:-1] == states[1:]).all(axis=tuple(range(1, states.ndim)))
        breaks = np.flatnonzero(~same)
        if len(breaks) > _SHUFFLED and len(breaks) > len(same) // 2:
            raise DatasetError(
                f"{self.path}: rows {start} to {stop - 1} do not follow each other", "Shuffled rows have no episodes."
            )
        edges = [start, *(start + breaks + 1).tolist(), stop]
        yield from pairwise(edges)

    def _episode(self, number: int, start: int, stop: int, *, terminated: bool) -> Recorded:
        rows = {name: self._read(self._arrays[name], start, stop) for name in ("observations", "actions", "rewards")}
        per_episode = {name: self._read(array, number, number + 1)[0] for name, array in self._per_episode.items()}
        seed = int(per_episode.pop("seeds", -1))
        return Recorded(
            where=f"{self.path}, rows {start} to {stop - 1}",
            **rows,
            next_observations=None if self._next is None else self._read(self._next, start, stop),
            terminated=terminated,
            infos={name: self._read(array, start, stop) for name, array in self._infos.items()},
            per_episode=per_episode,
            seed=seed,
        )

    def action_blocks(self) -> Iterator[Array]:
        """All actions, some thousand rows at a time."""
        for start in range(0, self._rows, BLOCK_ROWS):
            yield self._read(self._arrays["actions"], start, min(start + BLOCK_ROWS, self._rows))

    def _read(self, array: h5py.Dataset, start: int, stop: int) -> Array:
        """Rows of an array; read in blocks, since episodes are short and every call to HDF5 costs the same."""
        first, block = self._blocks.get(array.name, (0, _NOTHING))
        if not first <= start <= stop <= first + len(block):
            first = start
            with clear_errors(self.path):
                block = np.asarray(array[start : max(stop, start + BLOCK_ROWS)])
            self._blocks[array.name] = (first, block)
        return block[start - first : stop - first]


def _is_number(array: h5py.Dataset) -> bool:
    return array.dtype.kind in "fiub"


def cut_by_horizon(terminals: Array, horizon: int) -> Array:
    """Where episodes were cut, from where they ended and how long they may be.

    Args:
        terminals: [N] bool.
        horizon: steps after which an episode without an end was cut.

    Returns:
        [N] bool; rows that end the task are not among them.

    >>> cut_by_horizon(np.array([0, 0, 0, 1, 0, 0, 0], dtype=bool), 3).astype(int).tolist()
    [0, 0, 1, 0, 0, 0, 1]
    """
    rows = np.arange(len(terminals))
    first = np.zeros(len(terminals), dtype=np.int64)
    first[1:] = np.maximum.accumulate(np.where(terminals[:-1], rows[1:], 0))
    cut: Array = ((rows - first) % horizon == horizon - 1) & ~terminals
    return cut


def export(dataset: Dataset, out: str, *, overwrite: bool) -> list[str]:
    """Write D4RL's flat file: the six arrays and ``infos``; the rest in ``metadata``, which D4RL's readers leave alone.

    Raises:
        DatasetError: the file exists or cannot be written.
    """
    with whole_hdf5(Path(out), overwrite=overwrite) as file:
        for name in dataset.array_names:
            place = f"{_METADATA}/{name}" if name.startswith(f"{EPISODES}/") else name
            kind = np.dtype(ARRAYS.get(name, dataset.dtype(name).newbyteorder("<").str))
            array = file.create_dataset(place, shape=dataset.shape(name), dtype=kind, track_times=False)
            for start, stop in dataset.spans(name):
                array[start:stop] = dataset.rows(name, start, stop)
        text = issue_passport(dataset)
        if text:
            write_text(file, _PASSPORT, text)
    kept = f"what the dataset says about itself is in {_PASSPORT}, and {SEEDS} in {_METADATA}"
    return [kept] if text else []
