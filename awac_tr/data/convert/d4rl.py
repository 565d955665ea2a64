"""D4RL's flat HDF5, also its old files without ``next_observations`` or ``timeouts``, and what others made of them.

Read as ``d4rl.qlearning_dataset`` (and CORL, which took it over) reads it:

- *Without* ``next_observations`` the next observation of row t is the observation of row t + 1. The last row of an
  episode that was cut has none and is dropped. A row that ends the task is kept; D4RL gives it the first observation
  of the next episode, which is masked and never used; we give it its own.
- *Without* ``timeouts`` or another array that says where episodes end (:mod:`awac_tr.data.convert.episode_ends`) an
  episode is cut where ``next_observations`` show it, and else after as many steps as the environment's horizon, counted
  from the last end. (D4RL counts one step too many after a row that ends the task; we do not.)

Where we keep more: rows with both flags are terminal (D4RL drops them), a terminal row at the very end of the file is
kept, and ``next_observations`` are used where the file has them, so the last row of a cut episode stays. Rows in which
a vector environment reset are no steps, and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from awac_tr.data.convert.episode_ends import Mark, choose, make_mark, role_of
from awac_tr.data.convert.export_card import stored_card, write_card
from awac_tr.data.convert.files import whole_hdf5
from awac_tr.data.convert.flat_ends import FlatEnds
from awac_tr.data.convert.recording import ImportSettings, Recorded, origin_of
from awac_tr.data.convert.target import matrix
from awac_tr.data.format.spec import ARRAYS, EPISODES, INFOS, SEEDS
from awac_tr.data.storage.hdf5 import array_of, budget_of, clear_errors, open_hdf5, read_array
from awac_tr.data.storage.reader import BLOCK_ROWS, Dataset
from awac_tr.errors import DatasetError
from awac_tr.utils.budget import OBJECT_PRICE

__all__ = ["D4RLRecording", "export", "open_recording"]

Array = np.ndarray[Any, Any]

_METADATA: Final = "metadata"
"""Group that D4RL's tools leave alone; our export_card and what is true of whole episodes lie in it."""
_CARD: Final = f"{_METADATA}/awac_tr"
_META: Final = "meta"
_ROWS: Final = ("observations", "actions", "rewards", "next_observations")
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
    """An open flat file, cut into episodes by what it says and by the settings; ``path`` is for messages."""

    def __init__(self, path: Path, file: h5py.File, settings: ImportSettings) -> None:
        self.path = path
        self.notes: list[str] = []
        self._file = file
        self._blocks: dict[str, tuple[int, Array]] = {}
        export_card = stored_card(path, file, _CARD)
        self.origin = origin_of("d4rl", path.name, export_card)
        self._arrays = {name: self._array(name) for name in ("observations", "actions")}
        if "rewards" in file:
            self._arrays["rewards"] = self._array("rewards")
        self._rows = len(self._arrays["observations"])
        self._next = array_of(path, file, "next_observations")
        self._infos = self._group(INFOS)
        self._per_episode = self._group(f"{_METADATA}/{EPISODES}") if export_card else {}
        self._check_rows()
        marks = self._marks(settings)
        ends = FlatEnds(str(path), self._rows, self._read_rows, marks, settings, shown=self._next is not None)
        self._bounds, self._resets = ends.bounds(exact=export_card is not None)
        episodes = len(self._bounds)
        self._per_episode = {name: array for name, array in self._per_episode.items() if len(array) == episodes}
        self.notes += ends.notes
        self._say_what_is_left({mark.name for mark in marks})
        self._about_file = list(self.notes)

    def _array(self, name: str) -> h5py.Dataset:
        found = array_of(self.path, self._file, name)
        if found is None or not found.shape or not _is_number(found):
            hint = "D4RL's layout has observations, actions, rewards and terminals, one row of numbers a transition."
            raise DatasetError(f"{self.path} has no array {name} of numbers", hint)
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

    def _marks(self, settings: ImportSettings) -> list[Mark]:
        """What arrays of the file say about ends, those that the user names or all whose names say it."""
        there = {name: array_of(self.path, self._file, name) for name in self._names()}
        usable = {name: array for name, array in there.items() if array is not None and self._may_say(name, array)}
        found = []
        for name, chosen in choose(str(self.path), usable, settings.ends).items():
            with clear_errors(self.path):
                values = read_array(self.path, self._file, name)
                found.append(make_mark(str(self.path), name, np.asarray(values), self._rows, chosen=chosen))
        return [mark for mark in found if mark is not None]

    def _names(self) -> list[str]:
        """Arrays of the file itself and of the groups in which others keep what is not of the transitions."""
        groups = [self._file, *(self._file.get(name) for name in (_META, INFOS))]
        return [
            f"{group.name}/{name}".lstrip("/") for group in groups if isinstance(group, h5py.Group) for name in group
        ]

    def _may_say(self, name: str, array: h5py.Dataset) -> bool:
        """Of an array whose name is only like one that says it, the shape must fit, too."""
        known = role_of(name)
        sure = ("terminals", "timeouts") if name.startswith(f"{INFOS}/") else ("terminals", "timeouts", "dones")
        return known in sure or (not name.startswith(f"{INFOS}/") and (array.ndim == 1 or array.size == self._rows))

    def _say_what_is_left(self, used: set[str]) -> None:
        known = {*_ROWS, INFOS, _METADATA, *(name.split("/")[0] for name in used)}
        odd = [f"{INFOS}/{name}" for name, array in self._infos.items() if array.shape[:1] != (self._rows,)]
        self._infos = {name: array for name, array in self._infos.items() if f"{INFOS}/{name}" not in odd}
        group = self._file.get(INFOS)
        odd += [f"{INFOS}/{name}" for name in group if name not in self._infos] if isinstance(group, h5py.Group) else []
        left = {*odd, *(name for name in self._file if name not in known)}
        left |= ({*ARRAYS} & {*self._file}) - {*_ROWS, *used}
        self.notes += ["left out: " + ", ".join(sorted(left))] if left else []

    def episodes(self) -> Iterator[Recorded]:
        """The episodes in the order of the file."""
        taken, budget = 0, budget_of(self._file)
        for number, (start, stop, terminated) in enumerate(self._bounds):
            budget.charge(OBJECT_PRICE, "its episodes")
            one, differing = self._episode(number, start, stop, terminated=terminated)
            taken += differing
            if len(one.actions):
                yield one
        said = f"{taken} next observations differ from the observation of the row after, which was taken"
        self.notes = self._about_file + ([said] if taken else [])

    def _episode(self, number: int, start: int, stop: int, *, terminated: bool) -> tuple[Recorded, int]:
        """An episode, and how many next observations within it were not those of the row after."""
        first = start + (start in self._resets)
        rows = {name: self._read(array, first, stop) for name, array in self._arrays.items()}
        following, differing = None, 0
        if self._next is not None:
            following = self._read(self._next, first, stop)
            inner = rows["observations"][1:]
            pairs = (matrix(str(self.path), "next_observations", part) for part in (following[:-1], inner))
            differing = int(np.not_equal(*pairs).any(axis=1).sum())
            following = np.concatenate([inner, following[-1:]])
        elif stop in self._resets:  # there the recording has the last state of the episode once more
            following = self._read(self._arrays["observations"], first + 1, stop + 1)
        per_episode = {name: self._read(array, number, number + 1)[0] for name, array in self._per_episode.items()}
        seed = int(per_episode.pop("seeds", -1))
        recorded = Recorded(
            where=f"{self.path}, rows {first} to {stop - 1}",
            observations=rows["observations"],
            actions=rows["actions"],
            rewards=rows.get("rewards"),
            next_observations=following,
            terminated=terminated,
            infos={name: self._read(array, first, stop) for name, array in self._infos.items()},
            per_episode=per_episode,
            seed=seed,
            skipped=first - start,
        )
        return recorded, differing

    def _read_rows(self, start: int, stop: int) -> dict[str, Array]:
        """Rows as numbers of float32; next observations are those of the row after where the file has none."""
        states = matrix(str(self.path), "observations", self._read(self._arrays["observations"], start, stop))
        found = {"observations": states, "rewards": np.zeros(len(states), np.float32)}
        if "rewards" in self._arrays:
            found["rewards"] = self._read(self._arrays["rewards"], start, stop).reshape(-1)
        found["actions"] = matrix(str(self.path), "actions", self._read(self._arrays["actions"], start, stop))
        if self._next is not None:
            following = self._read(self._next, start, stop)
        else:
            following = self._read(self._arrays["observations"], min(start + 1, self._rows), min(stop + 1, self._rows))
            following = np.concatenate([following, states[len(following) :]])
        return found | {"next_observations": matrix(str(self.path), "next_observations", following)}

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
        kept = write_card(file, _CARD, dataset)
    return [f"what the dataset says about itself is in {_CARD}, and {SEEDS} in {_METADATA}"] if kept else []
