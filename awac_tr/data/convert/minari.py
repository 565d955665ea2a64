"""Minari's datasets, from and to local folders; ids that are not here are downloaded by Minari.

- An episode has T + 1 observations for T actions, so the last next observation is known.
- An episode that is neither terminated nor truncated in its last row was left unfinished: it is read as cut. One that
  is both is read as terminated.
- ``infos`` have T + 1 rows, the reset's first. ``qpos`` and ``qvel`` are the state before the action: rows 0 to T - 1.
  All others are what a step returned: rows 1 to T. The row left over is kept as ``episodes/reset_NAME`` or
  ``episodes/final_NAME``.

The HDF5 file is read by us and not through Minari, which follows links out of it and makes environments it names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from awac_tr.data.convert.export_card import read_export_card
from awac_tr.data.convert.files import in_order, load_json
from awac_tr.data.convert.flags import as_flags
from awac_tr.data.convert.minari_export import BEFORE, FACTS, export
from awac_tr.data.convert.minari_paths import fetch
from awac_tr.data.convert.recording import ImportSettings, Recorded, miscounts, origin_of
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.data.storage.hdf5 import attribute_names, clear_errors, open_hdf5, read_array, read_attribute
from awac_tr.errors import DatasetError

__all__ = ["MinariRecording", "export", "open_recording"]

Array = np.ndarray[Any, Any]

_FILE: Final = "main_data.hdf5"
_METADATA: Final = "metadata.json"


@contextmanager
def open_recording(source: str, settings: ImportSettings) -> Iterator[MinariRecording]:  # noqa: ARG001  (one signature)
    """Open a Minari dataset by its id, its folder or its HDF5 file.

    Raises:
        DatasetError: it is not here and cannot be downloaded, cannot be read, or its spaces are no vectors.
    """
    folder = _data_folder(source)
    metadata = load_json(folder / _METADATA)
    if metadata.get("data_format", "hdf5") != "hdf5":
        hint = 'Minari writes the format read here with data_format="hdf5".'
        raise DatasetError(f"{source} is stored as {metadata['data_format']}, which is not read", hint)
    path = folder / _FILE
    with open_hdf5(path) as file:
        yield MinariRecording(source, path, file, metadata)


def _data_folder(source: str) -> Path:
    path = Path(source)
    if path.is_file():
        path = path.parent
    elif not path.is_dir():
        path = fetch(source)
    folder = path / "data" if (path / "data").is_dir() else path
    if not (folder / _METADATA).is_file():
        hint = "Minari 0.4 and later write data/metadata.json; minari download fetches such a version."
        raise DatasetError(f"{source} has no {_METADATA}", hint)
    return folder


class MinariRecording:
    """An open Minari dataset: ``source`` as the user named it, its HDF5 file and its ``metadata.json``."""

    def __init__(self, source: str, path: Path, file: h5py.File, metadata: Mapping[str, Any]) -> None:
        self.path = path
        self.notes: list[str] = []
        self._file, self._name = file, str(metadata.get("dataset_id") or Path(source).name)
        _refuse_spaces(self._name, metadata)
        ours = metadata.get(FACTS)
        facts = ours if isinstance(ours, dict) else {}
        export_card = read_export_card(str(path), str(facts.get("passport", "")))
        self._ours = export_card is not None
        before = facts.get("before")
        listed = [str(name) for name in before] if isinstance(before, list) else []
        self._before = set(listed) if self._ours else BEFORE
        self.origin = origin_of("minari", self._name, export_card, **_said(metadata))
        self._episodes = in_order(name for name in file if name.startswith("episode_"))
        self._check_count(metadata.get("total_episodes"))
        self._steps = metadata.get("total_steps")

    def _check_count(self, noted: Any) -> None:
        if noted != len(self._episodes):
            message = f"{self._name}: {_METADATA} says {noted} episodes, {_FILE} has {len(self._episodes)}"
            raise DatasetError(message, "It was cut short: download or copy it again.")

    def episodes(self) -> Iterator[Recorded | UnusableEpisodeError]:
        """The episodes by their numbers."""
        unfinished, both, left, rows, miscounted, total = 0, 0, set[str](), 0, 0, self._steps
        for name in self._episodes:
            try:
                with clear_errors(self.path):
                    terminated, truncated = self._ends(name)
                    one = self._episode(name, terminated=terminated, left=left)
                    steps = read_attribute(self.path, self._file[name], "total_steps", len(one.actions))
            except UnusableEpisodeError as error:
                total = None
                yield error
                continue
            unfinished += not (terminated or truncated)
            both += terminated and truncated
            rows += len(one.actions)
            miscounted += steps != len(one.actions)
            yield one
        self.notes = _notes(unfinished, both, left) + miscounts(miscounted, total, rows)

    def _array(self, name: str) -> Array:
        found = read_array(self.path, self._file, name)
        if found is None:
            raise UnusableEpisodeError(f"{self._name}: {name} is no array")
        return found

    def _ends(self, name: str) -> tuple[bool, bool]:
        """Whether the last step terminated, and whether it truncated."""
        last = []
        for flag in ("terminations", "truncations"):
            array = self._array(f"{name}/{flag}")
            flags = as_flags(f"{self._name}, {name}", flag, array, array.size)
            if not len(flags):
                raise UnusableEpisodeError(f"{self._name}: {name} has no step")
            if flags[:-1].any():
                row = int(np.argmax(flags))
                hint = "An episode ends in its last row: ask its author, or leave the episode out with Minari."
                raise UnusableEpisodeError(f"{self._name}: {name} has {flag} set in row {row} of {len(flags)}", hint)
            last.append(bool(flags[-1]))
        return last[0], last[1]

    def _episode(self, name: str, *, terminated: bool, left: set[str]) -> Recorded:
        where = f"{self._name}, {name}"
        states, actions = self._array(f"{name}/observations"), self._array(f"{name}/actions")
        if states.ndim == 0 or len(states) != len(actions) + 1:
            raise UnusableEpisodeError(
                f"{where} has {len(states)} observations for {len(actions)} actions, expected one more"
            )
        infos, per_episode = self._infos(name, len(actions), left)
        group = self._file[name]
        if self._ours:
            own = [key for key in attribute_names(self.path, group) if _is_own(key)]
            per_episode = {key[len(FACTS) + 1 :]: np.asarray(read_attribute(self.path, group, key)) for key in own}
        return Recorded(
            where,
            states[:-1],
            actions,
            self._array(f"{name}/rewards").reshape(-1),
            states[1:],
            terminated,
            infos,
            per_episode,
            seed=int(read_attribute(self.path, group, "seed", -1)),
        )

    def _infos(self, name: str, rows: int, left: set[str]) -> tuple[dict[str, Array], dict[str, Array]]:
        """One row a transition, and what is left over of the reset or the end; names of what is no such array."""
        kept: dict[str, Array] = {}
        over: dict[str, Array] = {}
        for key in _leaves(self._file[name].get("infos")):
            value = read_array(self.path, self._file, f"{name}/infos/{key}")
            info = key.replace("/", ".")
            if value is None or value.dtype.kind not in "fiub" or value.ndim == 0 or len(value) not in (rows, rows + 1):
                left.add(f"infos/{info}")
            elif len(value) == rows:
                kept[info] = value
            elif info in self._before:
                kept[info], over[f"final_{info}"] = value[:-1], value[-1]
            else:
                kept[info], over[f"reset_{info}"] = value[1:], value[0]
        return kept, over


def _is_own(name: str) -> bool:
    return name.startswith(FACTS + "/")


def _leaves(group: Any, prefix: str = "") -> list[str]:
    """Names of all arrays under a group, with / between nested ones."""
    if not isinstance(group, h5py.Group):
        return []
    found = []
    for name, item in group.items():
        found += _leaves(item, f"{prefix}{name}/") if isinstance(item, h5py.Group) else [f"{prefix}{name}"]
    return found


def _notes(unfinished: int, both: int, left: set[str]) -> list[str]:
    said = {
        f"{unfinished} episodes were left unfinished, neither terminated nor truncated: read as cut": unfinished,
        f"{both} episodes are both terminated and truncated: read as terminated": both,
        f"left out: {', '.join(sorted(left))}": len(left),
    }
    return [sentence for sentence, count in said.items() if count]


def _space(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    try:
        read = json.loads(metadata.get(name) or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _refuse_spaces(name: str, metadata: Mapping[str, Any]) -> None:
    """Only vectors of numbers can be learned from here; anything else is refused by its name."""
    for what in ("observation_space", "action_space"):
        space = _space(metadata, what)
        kind, parts = space.get("type", "Box"), space.get("subspaces", ())
        if kind != "Box":
            named = f" of {', '.join(str(part) for part in parts)}" if isinstance(parts, dict) else ""
            message = f"the {what.split('_')[0]}s of {name} are a {kind}{named}"
            raise DatasetError(message, "Only vectors of numbers (Box spaces) are imported.")


def _said(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the metadata of others say; an environment is named, never made, from what is in there."""
    spec, actions = _space(metadata, "env_spec"), _space(metadata, "action_space")
    low, high = _bound(actions.get("low")), _bound(actions.get("high"))
    steps, kwargs = spec.get("max_episode_steps"), spec.get("kwargs")
    kept = ("author", "code_permalink", "minari_version", "requirements")
    return {
        "env_id": str(spec.get("id") or ""),
        "env_kwargs": kwargs if isinstance(kwargs, dict) else {},
        "horizon": steps if type(steps) is int and steps > 0 else None,
        "action_low": low,
        "action_high": high,
        "policy": str(metadata.get("algorithm_name") or ""),
        "description": str(metadata.get("description") or ""),
        "extra": {key: metadata[key] for key in kept if key in metadata},
    }


def _bound(written: Any) -> Array | None:
    """Bounds as the metadata have them, [a]; None where they are no numbers."""
    try:
        return None if written is None else np.asarray(written, np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None
