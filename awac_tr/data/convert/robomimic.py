"""robomimic's HDF5: a group a demonstration, observations in named parts.

- The parts (``obs/NAME``) are laid side by side, sorted by name or in the order the user gives; which numbers are
  which is noted in the dataset. Pictures are left out.
- Within a demonstration the next observation is the observation of the next row; ``next_obs`` gives the last one. Where
  it is missing, the last row is dropped, or kept with its own observation standing in where it ended the task.
- ``dones`` in the last row is read as robomimic defines it: the task ended. Recorders also set it where only the
  recording ended, so it can be read as a cut instead. In other rows it ends nothing here; it is kept in ``infos``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from awac_tr.data.convert.episode_ends import FLAGS, ends_of, role_of
from awac_tr.data.convert.export_card import stored_card, write_card
from awac_tr.data.convert.files import in_order, whole_hdf5
from awac_tr.data.convert.recording import ImportSettings, Recorded, miscounts, no_effect, origin_of
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.data.storage.hdf5 import array_of, clear_errors, open_hdf5, read_array, read_attribute
from awac_tr.data.storage.reader import Dataset
from awac_tr.errors import DatasetError
from awac_tr.utils.suggest import closest

__all__ = ["RobomimicRecording", "export", "open_recording"]

Array = np.ndarray[Any, Any]

_CARD: Final = "awac_tr"
_GYM: Final = 2
"""robomimic's number for Gym environments (``EnvType.GYM_TYPE``)."""
_FLAT: Final = "flat"
"""The part robomimic's own conversion of D4RL puts a flat observation in."""
_LOW_DIM: Final = 2


@contextmanager
def open_recording(source: str, settings: ImportSettings) -> Iterator[RobomimicRecording]:
    """Open a robomimic file.

    Raises:
        DatasetError: it cannot be read, or has no demonstrations.
    """
    path = Path(source)
    with open_hdf5(path) as file:
        yield RobomimicRecording(path, file, settings)


class RobomimicRecording:
    """An open robomimic file; the settings say its filter, parts of the observation and what ``dones`` means."""

    def __init__(self, path: Path, file: h5py.File, settings: ImportSettings) -> None:
        self.path = path
        self.notes: list[str] = []
        self._file, self._settings = file, settings
        with clear_errors(path):
            self._demos = self._listed()
            self._keys, left = self._observation_parts()
            export_card = stored_card(path, file, _CARD)
            env = self._environment()
        self._ours = export_card is not None
        if settings.dones and (self._ours or not any("dones" in file["data"][name] for name in self._demos)):
            raise no_effect("dones", f"here: {path} has none to be read")
        extra = {"observation_keys": self._keys, **({"env_args": env} if env else {})}
        env_id = str(env.get("env_name", "")) if env.get("env_type") == _GYM else ""
        self.origin = origin_of("robomimic", path.name, export_card, env_id=env_id, extra=extra)
        self._about_file = [f"observation: {', '.join(self._keys)}"] if not self._ours else []
        self._about_file += [f"left out of the observation: {', '.join(left)}"] if left else []

    def _group(self, name: str) -> h5py.Group:
        found = self._file.get(name)
        if not isinstance(found, h5py.Group):
            raise DatasetError(f"{self.path} has no group {name}", "robomimic's layout is data/demo_0/obs, actions ...")
        return found

    def _listed(self) -> list[str]:
        """Names of the demonstrations, all or those under the mask, by their numbers."""
        names = [name for name in self._group("data") if isinstance(self._file["data"].get(name), h5py.Group)]
        if self._settings.filter_key:
            wanted = self._mask(self._settings.filter_key)
            absent = ", ".join(name[:60] for name in sorted(wanted - set(names))[:5])
            if absent:
                raise DatasetError(f"{self.path}: mask names {absent}, which are not in the file")
            names = [name for name in names if name in wanted]
        if not names:
            raise DatasetError(f"{self.path} holds no demonstration", "Expected groups data/demo_0, data/demo_1 ...")
        return in_order(names)

    def _mask(self, key: str) -> set[str]:
        masks = self._file.get("mask")
        known = list(masks) if isinstance(masks, h5py.Group) else []
        array = read_array(self.path, self._file, f"mask/{key}") if key in known else None
        if array is None or array.ndim != 1 or array.dtype.kind not in "SO":
            near = closest(key, known)
            hint = f"Did you mean {near}?" if near else f"It has {', '.join(known) or 'no'}."
            raise DatasetError(f"{self.path} has no filter key {key!r}", hint)
        return {bytes(name).decode("utf-8", "replace") for name in array}

    def _observation_parts(self) -> tuple[list[str], list[str]]:
        """Names of the parts that make the observation, and of those that do not."""
        groups = {name: self._file["data"][name].get("obs") for name in self._demos}
        there = (name for name, group in groups.items() if isinstance(group, h5py.Group) and len(group))
        first = next(there, self._demos[0])
        group = groups[first]
        if not isinstance(group, h5py.Group) or not list(group):
            hint = "robomimic's dataset_states_to_obs.py adds observations to files that have only states."
            raise DatasetError(f"{self.path}: {first} has no group obs", hint)
        arrays = {name: array_of(self.path, self._file, f"data/{first}/obs/{name}") for name in sorted(group)}
        vectors = [name for name, array in arrays.items() if array is not None and _is_vector(array)]
        for key in self._settings.obs_keys:
            if key not in vectors:
                near = closest(key, vectors)
                hint = f"Did you mean {near}?" if near else f"There are {', '.join(vectors) or 'none'}."
                raise DatasetError(f"{self.path}: there is no vector {key!r} among the observations", hint)
        keys = list(self._settings.obs_keys) or vectors
        if not keys:
            raise DatasetError(f"{self.path}: no observation is a vector of numbers: {', '.join(arrays)}")
        return keys, [name for name in arrays if name not in keys]

    def _environment(self) -> dict[str, Any]:
        """Name and type of the environment; its arguments can be anything, and are left where they are."""
        text = read_attribute(self.path, self._file["data"], "env_args", "")
        try:
            read = json.loads(text)
        except (TypeError, ValueError, RecursionError):
            return {}
        return {name: read[name] for name in ("env_name", "env_type") if name in read} if isinstance(read, dict) else {}

    def episodes(self) -> Iterator[Recorded | UnusableEpisodeError]:
        """The demonstrations by their numbers."""
        said, total, rows, miscounted = {"early": 0, "other": 0}, None, 0, 0
        if not self._settings.filter_key:
            total = read_attribute(self.path, self._file["data"], "total", None)
        for name in self._demos:
            try:
                with clear_errors(self.path):
                    one = self._episode(name, said)
                    steps = read_attribute(self.path, self._file["data"][name], "num_samples", len(one.actions))
            except UnusableEpisodeError as error:
                total = None
                yield error
                continue
            rows += len(one.actions)
            miscounted += steps != len(one.actions)
            yield one
        early = f"{said['early']} rows before the last have dones set: kept as infos/dones, nothing is ended there"
        other = f"{said['other']} rows have a next_obs unlike the observation of the row after, which was taken"
        found = [text for text, key in ((early, "early"), (other, "other")) if said[key]]
        self.notes = self._about_file + found + miscounts(miscounted, total, rows)

    def _episode(self, name: str, said: dict[str, int]) -> Recorded:
        where = f"{self.path}, {name}"
        actions = self._array(name, "actions")
        if actions is None or not actions.ndim or not len(actions):
            raise UnusableEpisodeError(f"{where} has no actions")
        observations, following = self._side_by_side(name, "obs"), self._side_by_side(name, "next_obs")
        if observations is None:
            raise UnusableEpisodeError(f"{where} lacks one of the observations {', '.join(self._keys)}")
        if following is not None and len(following) != len(observations):
            raise UnusableEpisodeError(f"{where} has {len(following)} next_obs for {len(observations)} obs")
        if following is not None and len(following):
            said["other"] += int((following[:-1] != observations[1:]).any(axis=1).sum())
            following = np.concatenate([observations[1:], following[-1:]])
        terminated, infos = self._ends(name, len(actions), said)
        return Recorded(
            where,
            observations,
            actions,
            self._array(name, "rewards"),
            following,
            terminated,
            infos=infos | self._kept(name, "infos", len(actions)),
            per_episode=self._kept(name, "episode", None) if self._ours else {},
            seed=int(read_attribute(self.path, self._file["data"][name], "seed", -1)) if self._ours else -1,
        )

    def _array(self, demo: str, name: str) -> Array | None:
        return read_array(self.path, self._file, f"data/{demo}/{name}")

    def _side_by_side(self, demo: str, group: str) -> Array | None:
        """The parts of the observation as one array [T, o]; None where one is missing."""
        parts = [self._array(demo, f"{group}/{key}") for key in self._keys]
        found = [part.reshape(len(part), -1) for part in parts if part is not None]
        if len(found) < len(parts):
            return None
        if len({len(part) for part in found}) > 1:
            raise UnusableEpisodeError(f"{self.path}, {demo}: the observations differ in their number of rows")
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)

    def _ends(self, demo: str, rows: int, said: dict[str, int]) -> tuple[bool, dict[str, Array]]:
        """Whether the task ended with the last row, and what is worth keeping beside it."""
        if self._ours:
            terminals = self._array(demo, "terminals")
            if terminals is None or terminals.size != rows or not rows:
                raise UnusableEpisodeError(f"{self.path}, {demo}: terminals is not one flag a row, as awac-tr wrote it")
            return bool(terminals.reshape(-1)[-1]), {}
        states = self._array(demo, "states")
        infos = {"states": states} if states is not None and len(states) == rows and states.dtype.kind in "fiub" else {}
        names = [name for name in self._file["data"][demo] if role_of(name) in FLAGS]
        found = {name: self._array(demo, name) for name in names}
        arrays = {name: array for name, array in found.items() if array is not None}
        terminated, flags = ends_of(f"{self.path}, {demo}", arrays, rows, self._settings.dones)
        said["early"] += sum(int(one[:-1].sum()) for one in flags.values())
        return terminated, infos | {name: one for name, one in flags.items() if name == "dones"}

    def _kept(self, demo: str, group: str, rows: int | None) -> dict[str, Array]:
        """Arrays of a group of numbers, those of ``rows`` rows where a number is given."""
        names = self._file["data"][demo].get(group)
        found = {name: self._array(demo, f"{group}/{name}") for name in names} if isinstance(names, h5py.Group) else {}
        return {
            name: array
            for name, array in found.items()
            if array is not None and array.dtype.kind in "fiub" and rows in (None, *array.shape[:1])
        }


def _is_vector(array: h5py.Dataset) -> bool:
    return array.dtype.kind in "fiub" and 1 <= array.ndim <= _LOW_DIM


def export(dataset: Dataset, out: str, *, overwrite: bool) -> list[str]:
    """Write robomimic's file: a group an episode, the observation as the part ``flat``, ``dones`` where tasks ended.

    Beside what robomimic reads stand ``terminals``, ``timeouts`` and ``infos``.

    Raises:
        DatasetError: the file exists or cannot be written.
    """
    meta = dataset.meta
    env_args = {"env_name": meta.env_id, "env_type": _GYM, "env_kwargs": meta.env_kwargs}
    with whole_hdf5(Path(out), overwrite=overwrite) as file:
        data = file.create_group("data", track_order=True)
        data.attrs["total"] = dataset.n_transitions
        data.attrs["env_args"] = json.dumps(env_args)
        for number in range(dataset.n_episodes):
            _write_demo(data.create_group(f"demo_{number}"), dataset, number)
        write_card(file, _CARD, dataset)
    return ["dones is set where the task ended, not where an episode was cut: timeouts, beside it, has the cuts"]


def _write_demo(demo: h5py.Group, dataset: Dataset, number: int) -> None:
    episode = dataset.episode(number)
    demo.attrs["num_samples"] = len(episode)
    demo.attrs["seed"] = episode.seed
    arrays = {
        f"obs/{_FLAT}": episode.observations,
        f"next_obs/{_FLAT}": episode.next_observations,
        "actions": episode.actions,
        "rewards": episode.rewards,
        "dones": episode.terminals.astype(np.int32),
        "terminals": episode.terminals,
        "timeouts": episode.timeouts,
    }
    infos = {f"infos/{name}": rows for name, rows in episode.infos.items()}
    once = {f"episode/{name}": value for name, value in per_episode_of(dataset, number).items()}
    for name, rows in (arrays | infos | once).items():
        demo.create_dataset(name, data=rows, track_times=False)


def per_episode_of(dataset: Dataset, number: int) -> dict[str, Array]:
    """What a dataset keeps of a whole episode beside its seed: name -> value."""
    names = [name for name in dataset.array_names if name.startswith("episodes/") and name != "episodes/seeds"]
    return {name.removeprefix("episodes/"): dataset.rows(name, number, number + 1)[0] for name in names}
