"""What is opened, what is refused, and that nothing outside the file is ever read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.format.spec import ARRAYS, VERSION
from awac_tr.data.storage import reader
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError

Spoil = Callable[[h5py.File], Any]


def flat(path: Path, **changed: Any) -> Path:
    """A D4RL-flat file by someone else: float64 states, flags as 0/1, no attributes."""
    states = np.random.default_rng(0).normal(size=(6, 3))
    arrays = {
        "observations": states,
        "actions": np.zeros((6, 2)),
        "rewards": np.arange(6),
        "next_observations": np.roll(states, -1, axis=0),
        "terminals": np.array([0, 0, 1, 0, 0, 0], np.uint8),
        "timeouts": np.array([0, 0, 0, 0, 0, 1], np.uint8),
    }
    arrays["next_observations"][[2, 5]] += 1
    with h5py.File(path, "w") as file:
        for name, array in (arrays | changed).items():
            if array is not None:
                file[name] = array
        file["metadata/policy/weight"] = np.ones(3)
        file["infos/qpos"] = np.zeros((6, 4))
        file["infos/notes"] = ["their own"] * 6
        file["infos/version"] = 2
        file["episodes/lengths"] = [3, 3]
    return path


def test_files_of_others_are_read_and_what_is_assumed_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = flat(tmp_path / "theirs.hdf5")
    with caplog.at_level("INFO"), open_dataset(path) as dataset:
        assert not dataset.ours
        assert dataset.meta.env_id == ""
        assert dataset.meta.horizon is None
        assert dataset.meta.action_high == (1, 1)
        assert dataset.array_names == [*ARRAYS, "infos/qpos"]
        assert dataset.episode_bounds.tolist() == [[0, 3], [3, 6]]
        episode = dataset.episode(0)
        assert (episode.rewards.dtype, episode.terminals.dtype) == (np.float32, np.bool_)
        assert episode.terminals.tolist() == [False, False, True]
        assert episode.seed == -1
        assert dataset.content_hash == dataset.compute_hash()
    assert "not written by awac-tr" in caplog.text
    assert "action bounds taken as [-1, 1]" in caplog.text
    assert "observations: has type float64, is read as float32" in caplog.text
    assert {finding.severity for finding in validate(path)} == {"note"}


def test_an_episode_without_end_is_found_in_files_of_others(tmp_path: Path) -> None:
    path = flat(tmp_path / "theirs.hdf5", timeouts=np.zeros(6, np.uint8))
    with open_dataset(path) as dataset:
        assert dataset.episode_bounds.tolist() == [[0, 3], [3, 6]]
    assert ("note", "open-end") in [(f.severity, f.code) for f in validate(path)]


def test_blocks_go_through_all_rows_once(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", 4)
    with open_dataset(three) as dataset:
        starts, blocks = zip(*dataset.blocks(("rewards", "observations")), strict=True)
        assert starts == (0, 4, 8, 12)
        np.testing.assert_array_equal(
            np.concatenate([block["observations"] for block in blocks]), dataset.rows("observations")
        )
    assert validate(three) == []


def test_no_such_array(three: Path) -> None:
    with open_dataset(three) as dataset, pytest.raises(DatasetError, match="has no array 'goals'"):
        dataset.rows("goals")


def test_what_is_no_dataset_file(tmp_path: Path, three: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no dataset .*thre.hdf5\n.*Did you mean .*three.hdf5"):
        open_dataset(tmp_path / "thre.hdf5")
    with pytest.raises(DatasetError, match="looks like a folder of HDF5 files"):
        open_dataset(tmp_path)
    (tmp_path / "text.hdf5").write_text("observations")
    with pytest.raises(DatasetError, match="is no HDF5 file"):
        open_dataset(tmp_path / "text.hdf5")
    (tmp_path / "empty.hdf5").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"empty\.hdf5"):
        open_dataset(tmp_path / "empty.hdf5")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named_so(three: Path, share: float) -> None:
    whole = three.read_bytes()
    three.write_bytes(whole[: int(len(whole) * share)])
    for use in (open_dataset, validate):
        with pytest.raises(DatasetError, match=r"three.hdf5 is truncated"):
            use(three)


def test_a_damaged_file_never_gets_past_validation(three: Path) -> None:
    whole = three.read_bytes()
    rng = np.random.default_rng(0)
    with h5py.File(three) as file:
        start = file["observations"].id.get_chunk_info(0).byte_offset
    for place in [start, *rng.integers(0, len(whole), 60)]:
        spoiled = bytearray(whole)
        spoiled[place] ^= 0xFF
        three.write_bytes(spoiled)
        try:
            findings = validate(three)
        except DatasetError as error:
            assert "three.hdf5" in str(error)  # noqa: PT017  (either way of telling is right)
        else:
            # Half of a small file is room for rows to come, which nothing reads.
            assert findings or place != start


def secret(folder: Path) -> Path:
    path = folder / "secret.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"] = np.full((13, 3), 7, np.float32)
    return path


def external_link(file: h5py.File) -> None:
    file["observations"] = h5py.ExternalLink(str(secret(Path(file.filename).parent)), "/observations")


def external_link_among_infos(file: h5py.File) -> None:
    file["infos/more"] = h5py.ExternalLink(str(secret(Path(file.filename).parent)), "/observations")


def soft_link(file: h5py.File) -> None:
    file["observations"] = h5py.SoftLink("/next_observations")


def external_storage(file: h5py.File) -> None:
    raw = Path(file.filename).with_name("raw.bin")
    raw.write_bytes(bytes(13 * 3 * 4))
    file.create_dataset("observations", (13, 3), "f4", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((13, 3), "f4")
    layout[:] = h5py.VirtualSource(str(secret(Path(file.filename).parent)), "observations", (13, 3))
    file.create_virtual_dataset("observations", layout)


def virtual_info(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((13, 3), "f4")
    layout[:] = h5py.VirtualSource(str(secret(Path(file.filename).parent)), "observations", (13, 3))
    file.create_virtual_dataset("infos/more", layout)


@pytest.mark.parametrize(
    "lead_out",
    [external_link, external_link_among_infos, soft_link, external_storage, virtual, virtual_info],
    ids=lambda function: function.__name__,
)
def test_nothing_outside_the_file_is_read(three: Path, lead_out: Spoil) -> None:
    with h5py.File(three, "r+") as file:
        if "info" not in lead_out.__name__:
            del file["observations"]
        lead_out(file)
    for use in (open_dataset, validate):
        with pytest.raises(DatasetError, match="refused"):
            use(three)


def test_a_size_without_data_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = flat(tmp_path / "hollow.hdf5", observations=None)
    with h5py.File(path, "r+") as file:
        file.create_dataset("observations", (10**12, 3), "f4", chunks=(1024, 3))
    with pytest.raises(DatasetError, match="observations claims 12,000,000,000,000 bytes"):
        open_dataset(path)


def attribute(name: str, value: Any) -> Spoil:
    return lambda file: file.attrs.__setitem__(name, value)


def drop(name: str) -> Spoil:
    return lambda file: file.__delitem__(name)


def exchange(name: str, array: Any) -> Spoil:
    def do(file: h5py.File) -> None:
        del file[name]
        file[name] = array

    return do


WRONG = [
    (attribute("format_version", VERSION + 1), f"has format version 2; this awac-tr reads versions up to {VERSION}"),
    (attribute("format_version", "new"), "no valid format_version"),
    (attribute("format", "minari"), "has the format 'minari'"),
    (attribute("complete", False), "the file was never finished"),
    (attribute("parents", "{"), "attribute cannot be understood"),
    (attribute("env_kwargs", "[" * 100_000), "attribute cannot be understood"),
    (attribute("extra", json.dumps([1])), "attribute cannot be understood"),
    (lambda file: file.attrs.__delitem__("env_id"), "root attribute 'env_id' is missing"),
    (attribute("action_low", [-1.0]), "action_low has 1 entries"),
    (drop("terminals"), "terminals: missing: without it the end of a task cannot be told from a cut"),
    (drop("timeouts"), "timeouts: missing: without it"),
    (drop("next_observations"), "next_observations: missing"),
    (drop("actions"), "actions: missing"),
    (exchange("rewards", np.zeros(12, "f4")), "rewards: has 12 rows, observations has 13"),
    (exchange("infos/qpos", np.zeros((12, 4))), "infos/qpos: has 12 rows"),
    (exchange("rewards", np.zeros((13, 1), "f4")), r"rewards: has shape \(13, 1\), expected 1 axes"),
    (exchange("actions", np.zeros(13, "f4")), "actions: has shape"),
    (exchange("rewards", np.float32(1)), "rewards: has shape"),
    (exchange("actions", np.zeros((13, 3), "f4")), "action_low: bounds of 2 numbers"),
    (exchange("next_observations", np.zeros((13, 4), "f4")), "next_observations: has rows of shape"),
    (exchange("observations", np.zeros((13, 3))), "observations: has type float64, expected float32"),
    (exchange("terminals", np.zeros(13, "u1")), "terminals: has type uint8, expected bool"),
    (exchange("rewards", np.array([b"a"] * 13)), "rewards: has type"),
    (exchange("infos/qpos", [f"{row}" for row in range(13)]), "infos/qpos: has type object"),
    (exchange("episodes/seeds", 3), r"episodes/seeds: has type int64 and shape \(\)"),
    (exchange("rewards", [f"{row}" for row in range(13)]), "rewards: has type object"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_a_wrong_structure_is_refused_by_name(three: Path, spoil: Spoil, message: str) -> None:
    with h5py.File(three, "r+") as file:
        spoil(file)
    with pytest.raises(DatasetError, match=message) as caught:
        open_dataset(three)
    assert "three.hdf5" in caught.value.message


def test_all_faults_of_the_structure_come_at_once(three: Path) -> None:
    with h5py.File(three, "r+") as file:
        del file["terminals"], file["timeouts"]
        file.attrs["complete"] = False
    with pytest.raises(DatasetError) as caught:
        open_dataset(three)
    assert "3 faults" in caught.value.message
    assert [f.code for f in validate(three)] == ["missing-array", "missing-array", "incomplete"]


def test_a_group_in_the_place_of_an_array(three: Path) -> None:
    with h5py.File(three, "r+") as file:
        del file["rewards"]
        file.create_group("rewards")
    with pytest.raises(DatasetError, match="rewards: missing"):
        open_dataset(three)


def test_an_empty_file_of_arrays(tmp_path: Path) -> None:
    nothing = {
        name: np.zeros((0, 2) if name in ("observations", "actions", "next_observations") else 0) for name in ARRAYS
    }
    with pytest.raises(DatasetError, match="holds no transition"):
        open_dataset(flat(tmp_path / "none.hdf5", **nothing))
