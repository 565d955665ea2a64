"""LeRobot's folders, built here by the published description of version 3: no recording by others is at hand."""

from __future__ import annotations

import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.data.convert import lerobot
from awac_tr.data.convert.formats import detect
from awac_tr.data.convert.importer import ImportReport, ImportSettings, import_dataset
from awac_tr.data.storage.reader import open_dataset
from awac_tr.errors import DatasetError
from awac_tr.utils.budget import Allowance

pa = pytest.importorskip("pyarrow", reason="pyarrow (awac-tr[lerobot]) is absent")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow (awac-tr[lerobot]) is absent")

Columns = dict[str, Any]

FEATURES = {
    "observation.state": ("float32", [2]),
    "observation.environment_state": ("float32", [3]),
    "observation.images.top": ("video", [96, 96, 3]),
    "action": ("float32", [2]),
    "next.reward": ("float32", [1]),
    "next.done": ("bool", [1]),
    "next.success": ("bool", [1]),
    "timestamp": ("float32", [1]),
    "frame_index": ("int64", [1]),
    "episode_index": ("int64", [1]),
    "index": ("int64", [1]),
    "task_index": ("int64", [1]),
}


def columns(lengths: list[int], *, done: bool = True) -> Columns:
    """Rows of all episodes, one after the other."""
    rng, rows = np.random.default_rng(0), sum(lengths)
    frames = np.concatenate([np.arange(length) for length in lengths])
    last = frames == np.repeat(lengths, lengths) - 1
    return {
        "observation.state": rng.normal(size=(rows, 2)).astype(np.float32),
        "observation.environment_state": rng.normal(size=(rows, 3)).astype(np.float32),
        "action": rng.uniform(0, 512, size=(rows, 2)).astype(np.float32),
        "next.reward": rng.random(rows).astype(np.float32),
        "next.done": last & done,
        "next.success": last & (rng.random(rows) < 0.5),
        "timestamp": (frames / 10).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.repeat(np.arange(len(lengths)), lengths),
        "index": np.arange(rows),
        "task_index": np.zeros(rows, np.int64),
    }


def arrow(rows: Any, *, fixed: bool) -> Any:
    """A column as LeRobot's writer (the datasets package) makes it: lists of a fixed or of any size."""
    if rows.ndim == 1:
        return pa.array(rows)
    kind = pa.from_numpy_dtype(rows.dtype)
    return pa.array(rows.tolist(), type=pa.list_(kind, rows.shape[1]) if fixed else pa.list_(kind))


def save(data: Columns, *, files: list[int] | None = None, fixed: bool = True, **info: Any) -> str:
    """A dataset folder; ``files`` gives the rows at which a new Parquet file starts."""
    rows, folder = len(data["action"]), Path("robot")
    edges = [0, *(files or []), rows]
    for number, (start, stop) in enumerate(pairwise(edges)):
        path = folder / "data" / f"chunk-{number // 2:03d}" / f"file-{number % 2:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({name: arrow(column[start:stop], fixed=fixed) for name, column in data.items()})
        parquet.write_table(table, path, row_group_size=3)
    declared = {name: {"dtype": kind, "shape": shape} for name, (kind, shape) in FEATURES.items()}
    features = {name: one for name, one in declared.items() if name in data or one["dtype"] == "video"}
    said = {
        "codebase_version": "v3.0",
        "robot_type": "2d pointer",
        "fps": 10,
        "total_episodes": len(np.unique(data["episode_index"])),
        "total_frames": rows,
        "data_path": "../../{chunk_index}/{file_index}",
        "features": features,
    }
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    (folder / "meta" / "info.json").write_text(json.dumps(said | info))
    return str(folder)


def bring(source: str, **settings: Any) -> tuple[ImportReport, Columns, Any]:
    report = import_dataset(source, "out.hdf5", settings=ImportSettings(**settings), overwrite=True)
    with open_dataset("out.hdf5") as dataset:
        return report, dataset.arrays(dataset.array_names), dataset.meta


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("files", [[], [4], [2, 6]])
def test_a_recording_comes_in_however_it_is_spread_over_files(files: list[int], fixed: bool) -> None:
    data = columns([4, 1, 5])
    source = save(data, files=files, fixed=fixed)
    assert detect(source) == "lerobot"
    report, found, meta = bring(source)
    np.testing.assert_array_equal(found["observations"], data["observation.state"], strict=True)
    np.testing.assert_array_equal(found["actions"], data["action"], strict=True)
    np.testing.assert_array_equal(found["rewards"], data["next.reward"], strict=True)
    np.testing.assert_array_equal(found["infos/success"], data["next.success"], strict=True)
    np.testing.assert_array_equal(found["infos/observation.environment_state"], data["observation.environment_state"])
    np.testing.assert_array_equal(found["infos/timestamp"], data["timestamp"], strict=True)
    assert found["terminals"].nonzero()[0].tolist() == [3, 4, 9]
    inner = ~found["terminals"]
    np.testing.assert_array_equal(found["next_observations"][:-1][inner[:-1]], found["observations"][1:][inner[:-1]])
    assert (report.episodes, report.dropped) == (3, 0)
    assert meta.extra["fps"] == 10
    assert meta.extra["observation_keys"] == ["observation.state"]
    assert "left out, no numbers: observation.images.top" in report.notes
    np.testing.assert_array_equal(np.float32(meta.action_high), data["action"].max(axis=0))


@pytest.mark.parametrize(("done", "settings"), [(True, {"dones": "cut"}), (False, {})])
def test_without_an_end_of_the_task_the_last_row_is_dropped(done: bool, settings: Any) -> None:
    data = columns([4, 1, 5], done=done)
    report, found, _ = bring(save(data), **settings)
    kept = [0, 1, 2, 5, 6, 7, 8]
    np.testing.assert_array_equal(found["observations"], data["observation.state"][kept])
    np.testing.assert_array_equal(found["next_observations"], data["observation.state"][np.array(kept) + 1])
    assert found["timeouts"].nonzero()[0].tolist() == [2, 6]
    assert (report.dropped, report.episodes) == (3, 2)
    assert "1 episodes had no row left and are not in the dataset" in report.notes


def test_features_of_the_observation_in_the_order_asked_for() -> None:
    data = columns([4])
    keys = ("observation.environment_state", "observation.state")
    _, found, meta = bring(save(data), obs_keys=keys)
    np.testing.assert_array_equal(found["observations"], np.concatenate([data[key] for key in keys], axis=1))
    assert meta.extra["observation_keys"] == list(keys)
    with pytest.raises(DatasetError, match=r"no feature 'observation.sate' of numbers") as caught:
        bring("robot", obs_keys=("observation.sate",))
    assert "observation.state" in caught.value.hint
    with pytest.raises(DatasetError, match=r"no feature 'observation.images.top' of numbers"):
        bring("robot", obs_keys=("observation.images.top",))


def test_rewards_are_rare_and_must_be_said() -> None:
    data = columns([4])
    del data["next.reward"]
    with pytest.raises(DatasetError, match="episode 0 has no rewards"):
        bring(save(data))
    assert bring("robot", reward=0)[1]["rewards"].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"codebase_version": "v2.1"}, "of LeRobot's version v2.1; 3 is read"),
        ({"codebase_version": None}, "of LeRobot's version None"),
        ({"storage_format": "lance"}, "stored as lance"),
        ({"total_episodes": 3}, "says 3 episodes and 9 frames, there are 2 and 9"),
        ({"total_frames": 8}, "cut short|says 2 episodes and 8 frames"),
        ({"features": None}, "names no features"),
        ({"features": {}}, "no feature 'observation.state'"),
        ({"features": {name: {"dtype": "float32", "shape": [5]} for name in FEATURES}}, "not 5 numbers"),
    ],
)
def test_information_that_does_not_fit_is_refused(changed: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        bring(save(columns([4, 5]), **changed))
    assert not Path("out.hdf5").exists()


def test_rows_that_are_missing_or_moved_are_found() -> None:
    data = columns([4, 5])
    moved = {name: column[[0, 2, 1, *range(3, 9)]] for name, column in data.items()}
    with pytest.raises(DatasetError, match="frame_index does not count from 0 to 3"):
        bring(save({name: column[:4] for name, column in moved.items()}))
    report, *_ = bring(save(moved))
    assert any("1 of 2 episodes left out: " in note for note in report.notes)
    apart = {name: column[[*range(4), 4, 5, 0, 1]] for name, column in data.items()}
    with pytest.raises(DatasetError, match="rows of episode 0 do not lie together"):
        bring(save(apart))


def test_damaged_and_hostile_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(columns([4, 5]))
    path = Path(source) / "data" / "chunk-000" / "file-000.parquet"
    whole = path.read_bytes()
    for bytes_ in (whole[:-20], b"", b"PAR1" + b"\0" * 100 + b"PAR1"):
        path.write_bytes(bytes_)
        with pytest.raises(DatasetError, match="cannot be read"):
            bring(source)
    path.write_bytes(whole)
    monkeypatch.setattr(lerobot, "PACKED", Allowance(0, 10, ""))
    with pytest.raises(DatasetError, match="a row group would stand for more than 10 bytes"):
        bring(source)
    monkeypatch.undo()
    os.chdir(tmp_path)
    outside = tmp_path / "outside.parquet"
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(DatasetError, match="leads out of"):
        bring(source)
    path.unlink()
    with pytest.raises(DatasetError, match="no Parquet file"):
        bring(source)
    with pytest.raises(DatasetError, match="is no folder"):
        import_dataset("outside.parquet", "out.hdf5", format_name="lerobot")


def test_nothing_but_numbers_is_taken() -> None:
    data = columns([4])
    for wrong in (["a"] * 4, [1.0, None, 2.0, 3.0]):
        save(data)
        path = Path("robot/data/chunk-000/file-000.parquet")
        table = parquet.read_table(path)
        place = table.schema.get_field_index("task_index")
        parquet.write_table(table.set_column(place, "task_index", pa.array(wrong)), path)
        with pytest.raises(DatasetError, match="task_index"):
            bring("robot")


def test_without_pyarrow_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(columns([4]))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DatasetError) as caught:
        bring(source)
    assert "awac-tr[lerobot]" in caught.value.hint
