"""Text of variable length in files of others: read where it is sound, refused where the HDF5 library could hang."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.convert.importer import ImportSettings, import_dataset
from awac_tr.data.storage.listing import list_datasets
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError

TEXT = h5py.string_dtype()


@pytest.fixture
def edited(three: Path) -> Path:
    """One of ours, a text of it changed by hand: h5py makes the new one of variable length."""
    with h5py.File(three, "r+") as file:
        file.attrs["description"] = "seen by a person"
    return three


def spoiled(path: Path, change: Any) -> Path:
    """The first entry of the heap (number, references, room, length) made another."""
    raw = bytearray(path.read_bytes())
    at = raw.index(b"GCOL") + 16
    raw[at : at + 16] = change(*struct.unpack_from("<HHIQ", raw, at))
    path.write_bytes(raw)
    return path


SPOILS = {
    "follows itself": lambda number, uses, room, length: struct.pack("<HHIQ", 0, uses, room, 0),
    "shorter than its own head": lambda number, uses, room, length: struct.pack("<HHIQ", 0, uses, room, 8),
    "ends outside the heap": lambda number, uses, room, length: struct.pack("<HHIQ", number, uses, room, 1 << 20),
    "as long as can be": lambda number, uses, room, length: struct.pack("<HHIQ", number, uses, room, 2**64 - 1),
}


def test_text_of_variable_length_is_read(edited: Path) -> None:
    with open_dataset(edited) as dataset:
        assert dataset.meta.description == "seen by a person"
    assert list_datasets(edited.parent)[0]["problem"] == ""


@pytest.mark.parametrize("spoil", SPOILS)
def test_over_a_damaged_heap_nothing_hangs(edited: Path, spoil: str) -> None:
    with pytest.raises(DatasetError, match="text of variable length is damaged"):
        open_dataset(spoiled(edited, SPOILS[spoil]))
    assert "is damaged" in list_datasets(edited.parent)[0]["problem"]


def test_a_heap_longer_than_the_file(edited: Path) -> None:
    raw = bytearray(edited.read_bytes())
    struct.pack_into("<Q", raw, raw.index(b"GCOL") + 8, 1 << 40)
    edited.write_bytes(raw)
    with pytest.raises(DatasetError, match="text of variable length is damaged"):
        open_dataset(edited)


def robomimic(path: Path, names: Any) -> str:
    with h5py.File(path, "w") as file:
        for key in ("obs/x", "next_obs/x", "actions"):
            file[f"data/demo_0/{key}"] = np.zeros((3, 2))
        file["data/demo_0/rewards"] = np.zeros(3)
        file["mask/train"] = names
    return str(path)


def test_a_mask_that_repeats_one_long_name_is_refused(tmp_path: Path) -> None:
    names = np.array(["demo_0", "x" * 100_000, *["demo_0"] * 1000], dtype=TEXT)
    source = robomimic(tmp_path / "a.hdf5", names)
    with pytest.raises(DatasetError, match="its text of variable length would stand for more than"):
        import_dataset(source, tmp_path / "out.hdf5", settings=ImportSettings(filter_key="train"))
    source = robomimic(tmp_path / "b.hdf5", names[[0, -1]])
    report = import_dataset(source, tmp_path / "out.hdf5", settings=ImportSettings(filter_key="train"))
    assert report.episodes == 1


@pytest.mark.parametrize("name", ["infos/again", "infos/loop"])
def test_one_object_under_two_names_is_refused(three: Path, name: str) -> None:
    with h5py.File(three, "r+") as file:
        file[name] = file["infos"] if name.endswith("loop") else file["rewards"]
    with pytest.raises(DatasetError, match=r"one object under two names, (infos|rewards|infos/again) and"):
        open_dataset(three)


def test_names_that_are_no_text_are_refused(three: Path) -> None:
    with h5py.File(three, "r+") as file:
        h5py.h5g.create(file["infos"].id, b"\xff\xfe")
    with pytest.raises(DatasetError, match="a name that is not text"):
        open_dataset(three)


@pytest.mark.parametrize("name", ["rewards", "infos/odd"])
def test_an_array_without_a_shape(three: Path, name: str) -> None:
    with h5py.File(three, "r+") as file:
        if name in file:
            del file[name]
        file[name] = h5py.Empty("f4")
    with pytest.raises(DatasetError, match=f"{name} has no rows and no shape"):
        open_dataset(three)


@pytest.mark.parametrize(
    "name", ["format", "format_version", "env_id", "horizon", "complete", "n_transitions", "action_low"]
)
@pytest.mark.parametrize("value", [np.zeros(3), h5py.Empty("f4"), ["a", "b"], np.zeros(2, [("a", "f4")])], ids=range(4))
def test_an_attribute_of_another_kind_is_the_files_fault(three: Path, name: str, value: Any) -> None:
    with h5py.File(three, "r+") as file:
        file.attrs[name] = value
    try:
        found = [finding.code for finding in validate(three)]
    except DatasetError:
        return
    assert found or name == "horizon"  # which may be unknown
