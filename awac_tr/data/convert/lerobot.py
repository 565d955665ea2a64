"""LeRobot's datasets, version 3: a folder of Parquet files that hold many episodes each.

- The observation is ``observation.state``, or the features the user names, side by side. Pictures and videos are left
  out. All other numbers are kept in ``infos``.
- There are T observations for T actions: the last row of an episode is dropped, or kept with its own observation
  standing in where ``next.done`` says that the task ended.
- Few of these datasets have rewards (``next.reward``); without them the user says where rewards come from.

Columns of numbers are read and nothing else; the path templates in ``meta/info.json`` are a stranger's, and not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from awac_tr.data.convert.episode_ends import FLAGS, ends_of, role_of
from awac_tr.data.convert.files import load_json
from awac_tr.data.convert.recording import ImportSettings, Recorded, no_effect, origin_of
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.errors import DatasetError
from awac_tr.utils.budget import OBJECT_PRICE, PACKED, Budget
from awac_tr.utils.suggest import closest

__all__ = ["LeRobotRecording", "open_recording"]

Array = np.ndarray[Any, Any]
Columns = dict[str, Array]

_STATE: Final = "observation.state"
_ACTION: Final = "action"
_REWARD: Final = "next.reward"
_DONE: Final = "next.done"
_EPISODE: Final = "episode_index"
_FRAME: Final = "frame_index"
_PLACES: Final = (_EPISODE, _FRAME, "index")
_NUMBERS: Final = ("float", "int", "uint", "bool")
"""How the types begin that are numbers."""
_BATCH_ROWS: Final = 4096
_LONGEST: Final = 1 << 24
"""Numbers a row may have."""


@contextmanager
def open_recording(source: str, settings: ImportSettings) -> Iterator[LeRobotRecording]:
    """Open the folder of a dataset.

    Raises:
        DatasetError: it is of another version, or lacks what cannot be made up; or pyarrow is missing.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise DatasetError(f"{source} is no folder", "A LeRobot dataset is a folder with meta/info.json.")
    try:
        import pyarrow.parquet  # noqa: F401  (is it there?)
    except ImportError as error:
        raise DatasetError("LeRobot's datasets are Parquet files", 'pip install "awac-tr[lerobot]"') from error
    yield LeRobotRecording(folder, load_json(folder / "meta" / "info.json"), settings)


class LeRobotRecording:
    """An open LeRobot dataset; ``info`` is that of ``meta/info.json``."""

    def __init__(self, folder: Path, info: dict[str, Any], settings: ImportSettings) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self._info, self._settings = info, settings
        _refuse_version(folder, info)
        self._features, left = _features(folder, info)
        self._keys = self._observation_keys()
        if settings.dones and _DONE not in self._features:
            raise no_effect("dones", f"here: {folder} has no {_DONE}")
        self._files = _parquet_files(folder)
        extra = {"observation_keys": self._keys, "fps": info.get("fps"), "robot_type": info.get("robot_type")}
        self.origin = origin_of("lerobot", folder.name, None, extra=extra)
        self._about_folder = [f"observation: {', '.join(self._keys)}"]
        self._about_folder += [f"left out, no numbers: {', '.join(left)}"] if left else []

    def _observation_keys(self) -> list[str]:
        keys = list(self._settings.obs_keys) or [_STATE]
        vectors = [name for name in self._features if name.startswith("observation.")]
        for key in keys:
            if key not in self._features:
                near = closest(key, vectors)
                hint = f"Did you mean {near}?" if near else f"There are {', '.join(vectors) or 'none'}: --obs-keys."
                raise DatasetError(f"{self.folder} has no feature {key!r} of numbers", hint)
        if _ACTION not in self._features:
            raise DatasetError(f"{self.folder} has no feature {_ACTION!r} of numbers")
        return keys

    def episodes(self) -> Iterator[Recorded | UnusableEpisodeError]:
        """The episodes in their order."""
        count, rows, early = 0, 0, 0
        for number, columns in self._grouped():
            count, rows = count + 1, rows + len(columns[_ACTION])
            try:
                one: Recorded | UnusableEpisodeError = self._recorded(number, columns)
            except UnusableEpisodeError as error:
                one = error
            early += int(columns[_DONE][:-1].astype(bool).sum()) if _DONE in columns else 0
            yield one
        noted = (self._info.get("total_episodes"), self._info.get("total_frames"))
        if noted != (count, rows):
            message = f"{self.folder}: meta/info.json says {noted[0]} episodes and {noted[1]} frames, there are "
            raise DatasetError(f"{message}{count} and {rows}", "It was cut short: download or copy it again.")
        said = [f"{early} rows before the last of their episode have {_DONE} set: nothing is ended there"]
        self.notes = self._about_folder + (said if early else [])

    def _recorded(self, number: int, columns: Columns) -> Recorded:
        where = f"{self.folder}, episode {number}"
        rows = len(columns[_ACTION])
        if not np.array_equal(columns[_FRAME].reshape(-1), np.arange(rows)):
            raise UnusableEpisodeError(
                f"{where}: {_FRAME} does not count from 0 to {rows - 1}", "Rows are missing or moved."
            )
        arrays = {name: column for name, column in columns.items() if role_of(name) in FLAGS}
        terminated, _ = ends_of(where, arrays, rows, self._settings.dones)
        used = {*self._keys, *_PLACES, _ACTION, _REWARD}
        infos = {name: column for name, column in columns.items() if name not in used}
        if "next.success" in infos:
            infos["success"] = infos.pop("next.success").astype(bool)
        return Recorded(
            where,
            np.concatenate([columns[key].reshape(rows, -1) for key in self._keys], axis=1),
            columns[_ACTION].reshape(rows, -1),
            columns.get(_REWARD),
            None,
            terminated,
            infos,
        )

    def _grouped(self) -> Iterator[tuple[int, Columns]]:
        """Episode number and its columns, whole, however the rows are spread over batches and files."""
        budget = Budget(self.folder, PACKED, DatasetError, size=sum(path.stat().st_size for path in self._files))
        open_one, parts, seen = -1, list[Columns](), set[int]()
        for batch in self._batches():
            budget.charge(sum(column.nbytes for column in batch.values()), "its columns")
            numbers = batch[_EPISODE].reshape(-1)
            edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
            for start, stop in pairwise(edges):
                number = int(numbers[start])
                if parts and number != open_one:
                    yield open_one, _joined(parts)
                    seen.add(open_one)
                    parts = []
                    budget.charge(OBJECT_PRICE, "its episodes")
                if number in seen:
                    raise DatasetError(f"{self.folder}: rows of episode {number} do not lie together")
                open_one = number
                parts.append({name: column[start:stop] for name, column in batch.items()})
        if parts:
            yield open_one, _joined(parts)

    def _batches(self) -> Iterator[Columns]:
        import pyarrow as pa
        from pyarrow import parquet

        first: list[str] = []
        for path in self._files:
            try:
                with parquet.ParquetFile(path) as file:
                    names = _wanted(path, file, self._features, self._keys)
                    first = first or names
                    if names != first:
                        raise DatasetError(f"{path} has other columns than {self._files[0]}")
                    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                        yield {name: self._numbers(path, name, batch.column(name)) for name in names}
            except (pa.ArrowException, OSError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise DatasetError(f"{path} cannot be read: {reason}", "Download or copy it again.") from error

    def _numbers(self, path: Path, name: str, column: Any) -> Array:
        """A column of a batch as [rows] or [rows, width]."""
        import pyarrow as pa

        width, kind = self._features[name], column.type
        nested = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
        flat = column.flatten() if nested else column
        if column.null_count or flat.null_count or len(flat) != len(column) * width:
            raise DatasetError(f"{path}: {name} has rows that are not {width} numbers, as meta/info.json says")
        numbers = np.asarray(flat.to_numpy(zero_copy_only=False))
        if numbers.dtype.kind not in "fiub":
            raise DatasetError(f"{path}: {name} holds {kind}, not numbers")
        return numbers.reshape(len(column), width) if nested else numbers


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _refuse_version(folder: Path, info: dict[str, Any]) -> None:
    version = str(info.get("codebase_version", ""))
    if not version.startswith("v3."):
        hint = "LeRobot's own convert_dataset_v21_to_v30 turns version 2.1 into 3.0."
        raise DatasetError(f"{folder} is of LeRobot's version {version or 'unknown'}; 3 is read", hint)
    if info.get("storage_format", "parquet") != "parquet":
        raise DatasetError(f"{folder} is stored as {info['storage_format']}; Parquet is read")


def _features(folder: Path, info: dict[str, Any]) -> tuple[dict[str, int], list[str]]:
    """The numbers a row has of each feature of numbers, and the names of all others."""
    declared = info.get("features")
    if not isinstance(declared, dict):
        raise DatasetError(f"{folder}/meta/info.json names no features")
    found: dict[str, int] = {}
    for name, feature in declared.items():
        shape = feature.get("shape") if isinstance(feature, dict) else None
        width = shape[0] if isinstance(shape, list) and len(shape) == 1 and type(shape[0]) is int else 0
        if str(feature.get("dtype") if isinstance(feature, dict) else "").startswith(_NUMBERS) and 0 < width < _LONGEST:
            found[name] = width
    return found, sorted(name for name in declared if name not in found)


def _parquet_files(folder: Path) -> list[Path]:
    """The files under ``data``, in order; none of them a link out of the folder."""
    files = sorted((folder / "data").glob("*/*.parquet"))
    if not files:
        raise DatasetError(f"{folder} has no Parquet file under data/")
    for path in files:
        if not path.resolve().is_relative_to(folder.resolve()):
            hint = "Copy the dataset with its links resolved: cp -rL."
            raise DatasetError(f"{path} is a link that leads out of {folder}: refused", hint)
    return files


def _wanted(path: Path, file: Any, features: dict[str, int], keys: list[str]) -> list[str]:
    """Columns to read, after a look at how large the file says they are."""
    there = set(file.schema_arrow.names)
    for number in range(file.metadata.num_row_groups):
        Budget(path, PACKED, DatasetError).charge(file.metadata.row_group(number).total_byte_size, "a row group")
    needed = [name for name in (*keys, _ACTION, _EPISODE, _FRAME) if name not in there or name not in features]
    if needed:
        raise DatasetError(f"{path} has no column {', '.join(needed)}")
    return [name for name in features if name in there]
