"""Six formats, each written by its published layout alone, since a format's own writer would refuse the defects."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from awac_tr.envs.make import find_spec
from validation.clean import EPISODE, FRAME, ROWS, Data

Array = np.ndarray[Any, Any]
Block = dict[str, Array]

FORMATS = ("ours", "d4rl", "minari", "robomimic", "hand_dapg", "lerobot")
FPS = 20


@dataclass
class Edit:
    """What goes wrong with one array of a file, or of one or all of its episodes.

    Args:
        name: array of the six, or ``infos/NAME``.
        change: the rows as they should be -> as they are written; None: not written.
        one: only in one episode of formats that keep episodes apart, its number; None: in all.
    """

    name: str
    change: Callable[[Array], Array | None]
    one: int | None = None


def edited(block: Block, data: Data, number: int | None = None) -> Block:
    """The arrays of a file (or of episode ``number``) as they are written."""
    for edit in data.edits:
        if edit.name in block and (number is None or edit.one is None or edit.one % len(data.starts) == number):
            changed = edit.change(block.pop(edit.name))
            if changed is not None:
                block[edit.name] = changed
    return block


def flat(data: Data) -> Block:
    """One array a column, as ours and D4RL's files have them."""
    return edited({name: rows for name, rows in data.arrays.items() if not name.startswith("_")}, data)


def episodes(data: Data, *, extra: bool = False) -> list[Block]:
    """One block an episode; ``extra``: with the last state behind the observations, and without next observations."""
    blocks = []
    for number, (start, end) in enumerate(zip(data.starts, data.ends, strict=True)):
        block = {name: rows[start : end + 1] for name, rows in data.arrays.items()}
        if extra:
            last = block.pop("next_observations")[-1:]
            block["observations"] = np.concatenate([block["observations"], last])
        blocks.append(edited(block, data, number))
    return blocks


def write_ours(data: Data, folder: Path) -> Path:
    """By docs/dataset-format.md, with h5py and hashlib."""
    arrays, said = flat(data), data.said
    count = len(data.starts)
    arrays["episodes/seeds"] = np.arange(said.get("seeds", count)) + 17
    lines = {name: f"{name} {rows.dtype.str} {'x'.join(map(str, rows.shape))} " for name, rows in arrays.items()}
    path = folder / "ours.hdf5"
    with h5py.File(path, "w") as file:
        for name, rows in arrays.items():
            digest = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
            lines[name] += digest
            kept = said.get("poke", lambda _, rows: rows)(name, rows)
            file.create_dataset(name, data=kept, chunks=True, maxshape=(None, *rows.shape[1:])).attrs["sha256"] = digest
        text = "\n".join(["awac-tr-dataset", *(lines[name] for name in sorted(lines))])
        env_id = said.get("env_id", data.env_id if data.named else "")
        attributes = {
            "format": "awac-tr-dataset",
            "format_version": 1,
            "complete": said.get("complete", True),
            "env_id": env_id,
            "env_kwargs": "{}",
            "horizon": said.get("horizon", data.horizon),
            "action_low": np.asarray(said.get("low", data.low), np.float64),
            "action_high": np.asarray(said.get("high", data.high), np.float64),
            "source": data.source,
            "policy": "",
            "parents": "[]",
            "licence": "MIT",
            "description": "",
            "extra": "{}",
            "versions": "{}",
            "created": "2026-01-01T00:00:00+00:00",
            "n_transitions": said.get("transitions", len(data)),
            "n_episodes": said.get("episodes", count),
            "content_hash": said.get("hash", "sha256:" + hashlib.sha256(text.encode()).hexdigest()),
        }
        for name, value in attributes.items():
            if name not in said.get("without", ()):
                file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
    return path


def write_d4rl(data: Data, folder: Path) -> Path:
    """The flat file with next observations and timeouts, as D4RL's version 2 of the locomotion sets."""
    path = folder / "d4rl.hdf5"
    with h5py.File(path, "w") as file:
        for name, rows in flat(data).items():
            file.create_dataset(name, data=rows)
    return path


def _space(low: Array, high: Array) -> str:
    shape = list(np.shape(low))
    bounds = {"low": np.asarray(low).tolist(), "high": np.asarray(high).tolist()}
    return json.dumps({"type": "Box", "dtype": "float32", "shape": shape, **bounds})


def write_minari(data: Data, folder: Path) -> Path:
    """``main_data.hdf5``, a group an episode, and ``metadata.json``."""
    place, said, blocks = folder / "minari" / "data", data.said, episodes(data, extra=True)
    place.mkdir(parents=True)
    names = {"terminals": "terminations", "timeouts": "truncations"}
    with h5py.File(place / "main_data.hdf5", "w") as file:
        for number, block in enumerate(blocks):
            group = file.create_group(f"episode_{number}")
            steps = int(data.ends[number] - data.starts[number] + 1)
            group.attrs.update(
                {"id": number, "seed": number + 17, "total_steps": said.get("steps", {}).get(number, steps)}
            )
            for name, rows in block.items():
                if name.startswith("infos/"):
                    group.create_dataset(name, data=np.concatenate([np.zeros_like(rows[:1]), rows]))
                elif not name.startswith("_"):
                    group.create_dataset(names.get(name, name), data=rows)
    size = data.arrays["observations"].shape[1]
    about = {
        "total_episodes": said.get("episodes", len(blocks)),
        "total_steps": said.get("transitions", len(data)),
        "data_format": "hdf5",
        "observation_space": _space(np.full(size, -np.inf), np.full(size, np.inf)),
        "action_space": _space(said.get("low", data.low), said.get("high", data.high)),
        "dataset_id": "blind/clean-v0",
        "minari_version": "0.5.4",
    }
    if data.named:
        about["env_spec"] = _env_spec(data)
    (place / "metadata.json").write_text(json.dumps(about))
    return folder / "minari"


def _env_spec(data: Data) -> str:
    env_id = data.said.get("env_id", data.env_id)
    known = env_id in gymnasium.registry or env_id == data.env_id
    spec = json.loads(find_spec(data.env_id).to_json())
    spec["id"], spec["max_episode_steps"] = env_id, data.said.get("horizon", data.horizon)
    if not known:
        spec["entry_point"] = "elsewhere:Env"
    return json.dumps(spec)


def write_robomimic(data: Data, folder: Path) -> Path:
    """A group a demonstration, the observation in two parts."""
    path, said = folder / "robomimic.hdf5", data.said
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        group.attrs["total"] = said.get("transitions", len(data))
        if data.named:
            about = {"env_name": said.get("env_id", data.env_id), "env_type": 2, "env_kwargs": {}}
            group.attrs["env_args"] = json.dumps(about)
        for number, block in enumerate(episodes(data)):
            demo = group.create_group(f"demo_{number}")
            steps = int(data.ends[number] - data.starts[number] + 1)
            demo.attrs["num_samples"] = said.get("steps", {}).get(number, steps)
            for name, place in (("observations", "obs"), ("next_observations", "next_obs")):
                rows = block.get(name)
                if rows is not None and rows.ndim > 1:
                    middle = max(1, data.arrays["observations"].shape[1] // 2)
                    demo[f"{place}/a_first"], demo[f"{place}/b_rest"] = rows[:, :middle], rows[:, middle:]
                elif rows is not None:
                    demo[f"{place}/a_first"] = rows
            for name in ("actions", "rewards"):
                if name in block:
                    demo[name] = block[name]
            if "terminals" in block:
                flags = block["terminals"]
                demo["dones"] = flags.astype(np.int64) if flags.dtype == bool else flags
    return path


def write_hand_dapg(data: Data, folder: Path) -> Path:
    """A pickled list of dicts."""
    path, paths = folder / "dapg.pickle", []
    for block in episodes(data):
        kept = {name: block[name] for name in ("observations", "actions", "rewards") if name in block}
        kept = {name: rows.astype(np.float64) if rows.dtype == np.float32 else rows for name, rows in kept.items()}
        paths.append({**kept, "init_state_dict": {"qpos": np.zeros(30), "qvel": np.zeros(30)}})
    path.write_bytes(pickle.dumps(paths))
    return path


def _column(rows: Array) -> pa.Array:
    return pa.array(rows) if rows.ndim == 1 else pa.array(rows.tolist(), type=pa.list_(pa.from_numpy_dtype(rows.dtype)))


def write_lerobot(data: Data, folder: Path) -> Path:
    """Version 3: Parquet for the rows, for the episodes and for the tasks, JSON for what is said of them."""
    place, said = folder / "lerobot", data.said
    block = edited(dict(data.arrays), data)
    frames = block[FRAME]
    columns = {"observation.state": "observations", "action": "actions", "next.reward": "rewards"}
    columns |= {"next.done": "terminals", "next.success": "infos/success"}
    table = {name: block[source] for name, source in columns.items() if source in block}
    numbers = {
        "frame_index": frames.astype(np.int64),
        "episode_index": np.cumsum(np.diff(block[EPISODE], prepend=-1) != 0) - 1,
    }
    table |= {"timestamp": (frames / FPS).astype(np.float32), "index": np.arange(len(frames)), **numbers}
    table["task_index"] = np.zeros(len(frames), np.int64)
    lengths = (data.ends - data.starts + 1).tolist()
    lengths = [said.get("steps", {}).get(number, length) for number, length in enumerate(lengths)]
    starts = data.starts.tolist()
    rows = {
        "episode_index": list(range(len(starts))),
        "tasks": [["play"]] * len(starts),
        "length": lengths,
        "dataset_from_index": starts,
        "dataset_to_index": (data.ends + 1).tolist(),
        "data/chunk_index": [0] * len(starts),
        "data/file_index": [0] * len(starts),
    }
    _parquet(place / "data/chunk-000/file-000.parquet", {name: _column(rows) for name, rows in table.items()})
    _parquet(place / "meta/episodes/chunk-000/file-000.parquet", rows)
    _parquet(place / "meta/tasks.parquet", {"task_index": [0], "task": ["play"]})
    features = {
        name: {"dtype": str(rows.dtype), "shape": list(rows.shape[1:]) or [1], "names": None}
        for name, rows in table.items()
    }
    info = {
        "codebase_version": "v3.0",
        "robot_type": "simulated",
        "total_episodes": said.get("episodes", len(starts)),
        "total_frames": said.get("transitions", len(frames)),
        "total_tasks": 1,
        "chunks_size": 1000,
        "fps": FPS,
        "splits": {"train": f"0:{len(starts)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
        "features": features,
    }
    (place / "meta/info.json").write_text(json.dumps(info))
    (place / "meta/stats.json").write_text(json.dumps({name: _stats(rows) for name, rows in table.items()}))
    return place


def _parquet(path: Path, columns: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path)


def _stats(rows: Array) -> dict[str, Any]:
    if rows.dtype.kind not in "fiub" or not len(rows):
        return {}
    numbers = rows.astype(np.float64).reshape(len(rows), -1)
    with np.errstate(all="ignore"):
        found = {name: getattr(numbers, name)(axis=0).tolist() for name in ("min", "max", "mean", "std")}
    return {**found, "count": [len(rows)]}


WRITERS: dict[str, Callable[[Data, Path], Path]] = {
    "ours": write_ours,
    "d4rl": write_d4rl,
    "minari": write_minari,
    "robomimic": write_robomimic,
    "hand_dapg": write_hand_dapg,
    "lerobot": write_lerobot,
}


def write(data: Data, name: str, folder: Path) -> Path:
    """The file or folder that its user is handed; cut short where the data say so."""
    path = WRITERS[name](data, folder)
    if "truncated" in data.said:
        files = sorted((one for one in [path, *path.rglob("*")] if one.is_file()), key=lambda one: one.stat().st_size)
        content = files[-1].read_bytes()
        files[-1].write_bytes(content[: int(len(content) * data.said["truncated"])])
    return path


__all__ = ["FORMATS", "ROWS", "Edit", "write"]
