"""What info says, against numpy on the whole file; and what list says of good and broken files."""

from __future__ import annotations

import json
import re
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.cli.support import echo_json
from awac_tr.data.statistics.statistics import dataset_info, list_datasets
from awac_tr.data.storage import reader
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.scan import scan_rows
from awac_tr.envs.measures import measure
from awac_tr.errors import DatasetError


@pytest.fixture(params=[1 << 15, 4, 1], ids=["one block", "blocks of 4 rows", "blocks of 1 row"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", request.param)


@pytest.fixture
def varied(tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any) -> Path:
    """Four episodes of the door's name with successes, few reward values, clipped actions and a constant column."""
    rng, episodes = np.random.default_rng(0), []
    for number, steps in enumerate((5, 1, 40, 9)):
        one = make_episode(number, steps, terminal=number == 1)
        one.infos["success"][:] = np.arange(steps) >= 10
        one.rewards[:] = rng.choice([-1.0, 0.0, 0.5], steps)
        one.actions[::3, 0] = 1
        one.observations[:, 2] = one.next_observations[:, 2] = 0.1
        episodes.append(one)
    write_dataset(tmp_path / "varied.hdf5", episodes, make_meta(env_id="door-binary-v0", horizon=40))
    return tmp_path / "varied.hdf5"


@pytest.mark.usefixtures("_blocks")
def test_numbers_are_those_of_numpy(varied: Path) -> None:
    info = dataset_info(varied)
    with h5py.File(varied) as file:
        arrays = {name: file[name][...] for name in reader.ARRAYS}
    states, actions = (arrays[name].astype(np.float64) for name in ("observations", "actions"))
    for name, rows in (("observations", states), ("actions", actions)):
        for key, expected in (("mean", rows.mean(0)), ("std", rows.std(0)), ("min", rows.min(0)), ("max", rows.max(0))):
            np.testing.assert_allclose(info["dims"][name][key], expected, rtol=1e-9, atol=1e-12, err_msg=key)
    assert info["dims"]["observations"]["constant"] == [2]
    assert info["dims"]["actions"]["not_finite"] == [0, 0]
    rewards = arrays["rewards"]
    assert info["rewards"]["values"] == [
        {"value": value, "count": int((rewards == value).sum())} for value in (-1, 0, 0.5)
    ]
    assert info["rewards"]["mean"] == pytest.approx(rewards.mean(dtype=np.float64))
    assert info["actions"]["at_high"] == [(actions[:, 0] == 1).mean(), 0]
    assert info["actions"]["saturation"] == pytest.approx((np.abs(actions) == 1).mean())
    assert (info["transitions"], info["episodes"], info["terminals"], info["timeouts"]) == (55, 4, 1, 3)


@pytest.mark.usefixtures("_blocks")
def test_measures_are_those_of_whole_episodes(varied: Path) -> None:
    with open_dataset(varied) as dataset:
        episodes = [dataset.episode(number) for number in range(dataset.n_episodes)]
    info = dataset_info(varied)
    expected = measure(episodes, 25)
    assert list(info["measures"]) == list(expected)
    assert expected["success_steps"].tolist() == [0, 0, 1, 0]
    for name, values in expected.items():
        assert info["measures"][name] == pytest.approx(
            {
                "mean": values.mean(),
                "std": values.std(),
                "min": values.min(),
                "median": np.median(values),
                "max": values.max(),
            }
        )


def test_a_last_episode_without_end_counts(varied: Path) -> None:
    with h5py.File(varied, "r+") as file:
        file["timeouts"][-1] = False
    info = dataset_info(varied)
    assert (info["episodes"], info["timeouts"]) == (4, 2)
    assert info["measures"]["length"]["max"] == 40


def test_reading_is_once_and_in_blocks(varied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", 10)
    asked: list[tuple[str, int, int | None]] = []
    plain = reader.Dataset._raw_rows

    def watched(self: Any, name: str, start: int, stop: int | None) -> Any:
        asked.append((name, start, stop))
        return plain(self, name, start, stop)

    monkeypatch.setattr(reader.Dataset, "_raw_rows", watched)
    dataset_info(varied)
    for name in ("observations", "next_observations", "actions", "rewards", "infos/qpos", "infos/success"):
        read = [(start, stop) for found, start, stop in asked if found == name]
        assert read == [(start, min(start + 10, 55)) for start in range(0, 55, 10)], name


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", 500)

    def peak(episodes: int) -> int:
        path = tmp_path / f"{episodes}.hdf5"
        write_dataset(path, [make_episode(0, 500, sizes=(60, 2)) for _ in range(episodes)], make_meta())
        tracemalloc.start()
        dataset_info(path)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(2), peak(40)
    assert large < 1.2 * small


def test_not_a_number_is_null_in_json_and_counted(varied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(varied, "r+") as file:
        file["observations"][:, 0] = np.nan
        file["rewards"][2] = np.inf
    info = dataset_info(varied)
    assert info["dims"]["observations"]["not_finite"] == [55, 0, 0]
    assert np.isinf(info["dims"]["observations"]["min"][0])
    assert info["rewards"]["max"] == 0.5
    echo_json(info)
    assert json.loads(capsys.readouterr().out)["dims"]["observations"]["min"][0] is None


def test_the_page_documents_every_key(varied: Path, repository: Path) -> None:
    page = (repository / "docs" / "looking-at-data.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.partition("## For programs")[2].splitlines() if line.startswith("| `")]
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} == set(dataset_info(varied))


def test_many_rewards_have_a_range(varied: Path) -> None:
    noise = np.random.default_rng(1).normal(size=55).astype(np.float32)
    with h5py.File(varied, "r+") as file:
        file["rewards"][...] = noise
    rewards = dataset_info(varied)["rewards"]
    assert rewards["values"] is None
    assert (rewards["min"], rewards["max"]) == (noise.min(), noise.max())


def test_storage_as_hdf5_says(tmp_path: Path, varied: Path) -> None:
    packed = tmp_path / "packed.hdf5"
    with h5py.File(varied) as old, h5py.File(packed, "w") as new:
        for name in old:
            old.copy(name, new)
        new.attrs.update(old.attrs)
        del new["observations"], new["rewards"]
        new.create_dataset(
            "observations", data=old["observations"], compression="gzip", compression_opts=4, shuffle=True
        )
        new.create_dataset("rewards", data=old["rewards"], compression="lzf")
        stored = new["observations"].id.get_storage_size()
    info = dataset_info(packed)
    arrays = {array["name"]: array for array in info["arrays"]}
    assert arrays["observations"]["compression"] == "gzip 4, shuffled"
    assert arrays["rewards"]["compression"] == "lzf"
    assert arrays["actions"]["compression"] == "none"
    assert (arrays["observations"]["stored"], arrays["observations"]["bytes"]) == (stored, 55 * 3 * 4)
    assert info["storage"]["buffer"] == 55 * (3 * 4 * 2 + 2 * 4 + 4 + 1 + 1)
    assert info["storage"]["file"] == packed.stat().st_size == info["bytes"]
    assert info["storage"]["memory"] == sum(array["bytes"] for array in info["arrays"])


def test_success_of_another_shape_is_no_success(varied: Path) -> None:
    with h5py.File(varied, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]
        del file["infos/success"]
        file["infos/success"] = np.ones((55, 2))
    with open_dataset(varied) as dataset:
        assert list(scan_rows(dataset, [], lambda *_: None)) == ["return", "length"]


def test_the_environment_of_a_file_is_not_imported(
    varied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with h5py.File(varied, "r+") as file:
        file.attrs["env_id"] = "stranger:door-binary-v0"
    assert "success_steps" not in dataset_info(varied)["measures"]


def edited(path: Path) -> None:
    """Text as h5py writes it, of variable length."""
    with h5py.File(path, "r+") as file:
        file.attrs["description"] = "edited"


def test_a_file_that_reading_would_never_end_of_does_not_hide_the_others(varied: Path, three: Path) -> None:
    edited(three)
    damaged = three.with_name("damaged.hdf5")
    raw = bytearray(three.read_bytes())
    place = raw.index(b"GCOL") + 16
    while number := int.from_bytes(raw[place : place + 2], "little"):  # the heap's texts, up to its free space, 0
        assert number < 99
        place += 16 + -(-int.from_bytes(raw[place + 8 : place + 16], "little") // 8) * 8
    raw[place + 8 : place + 16] = bytes(8)
    damaged.write_bytes(raw)
    found = {entry["name"]: entry for entry in list_datasets(varied.parent)}
    assert "text of variable length is damaged" in found["damaged"]["problem"]
    assert found["damaged"]["bytes"] == len(raw)
    assert (found["three"]["problem"], found["three"]["transitions"]) == ("", 13)
    assert found["varied"]["problem"] == ""


def test_an_edited_file_of_a_newer_version(three: Path) -> None:
    edited(three)
    with h5py.File(three, "r+") as file:
        file.attrs["format_version"] = 9
    assert "format version 9" in list_datasets(three.parent)[0]["problem"]


def test_a_folder_is_listed_with_what_is_wrong(varied: Path, three: Path) -> None:
    folder = varied.parent
    (folder / "cut.hdf5").write_bytes(three.read_bytes()[:-500])
    (folder / "other.h5").write_text("no")
    (folder / "nowhere.hdf5").symlink_to(folder / "gone")
    (folder / "folder.hdf5").mkdir()
    shutil.copy(three, folder / "lacking.hdf5")
    with h5py.File(folder / "lacking.hdf5", "r+") as file:
        del file["terminals"], file["actions"]
    entries = {entry["name"]: entry for entry in list_datasets(folder)}
    assert sorted(entries) == ["cut", "folder", "lacking", "nowhere", "other", "three", "varied"]
    assert {name for name, entry in entries.items() if not entry["problem"]} == {"three", "varied"}
    assert "truncated" in entries["cut"]["problem"]
    assert "no HDF5 file" in entries["other"]["problem"]
    assert entries["nowhere"]["bytes"] is None
    assert "actions: missing" in entries["lacking"]["problem"]
    assert "terminals: missing" in entries["lacking"]["problem"]
    assert entries["lacking"]["transitions"] == 13
    assert entries["three"]["content_hash"].startswith("sha256:")
    assert len({frozenset(entry) for entry in entries.values()}) == 1
    assert len(list_datasets(folder, problems=True)) == 5
    assert [entry["name"] for entry in list_datasets(folder, env="door-binary-v0")] == ["varied"]
    assert [entry["name"] for entry in list_datasets(folder, source="random")] == ["lacking", "three", "varied"]
    with pytest.raises(DatasetError, match="no folder"):
        list_datasets(folder / "none")
