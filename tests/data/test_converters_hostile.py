"""Files of strangers: links, damaged passports, arrays and metadata of another kind; refused as the file's fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.convert.exporter import export_dataset
from awac_tr.data.convert.formats import EXPORTS
from awac_tr.data.convert.importer import import_dataset
from awac_tr.errors import DatasetError

OUT = {"d4rl": "out.hdf5", "robomimic": "out.hdf5", "minari": "own/three-v0"}


@pytest.fixture(autouse=True)
def _minari_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


@pytest.mark.parametrize("link", [h5py.ExternalLink("three.hdf5", "/actions"), h5py.SoftLink("/observations")])
@pytest.mark.parametrize("name", ["actions", "data/demo_0/actions", "episode_0/actions", "infos/x"])
def test_links_out_of_a_file_are_refused(tmp_path: Path, link: Any, name: str) -> None:
    source = tmp_path / "main_data.hdf5"
    with h5py.File(source, "w") as file:
        file["observations"] = np.zeros((3, 2))
        file[name] = link
    (tmp_path / "metadata.json").write_text("{}")
    for format_name in ("auto", "d4rl", "robomimic", "minari"):
        with pytest.raises(DatasetError, match="soft or external link"):
            import_dataset(source, "out.hdf5", format_name=format_name)
    assert not (tmp_path / "out.hdf5").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "x"}', '{"format": "awac-tr-dataset", "version": 2}'])
def test_a_damaged_passport_is_refused(three: Path, text: str) -> None:
    from awac_tr.data.convert.export_card import write_text

    export_dataset(three, "flat.hdf5", format_name="d4rl")
    with h5py.File("flat.hdf5", "r+") as file:
        del file["metadata/awac_tr"]
        write_text(file, "metadata/awac_tr", text)
    with pytest.raises(DatasetError, match="cannot be understood"):
        import_dataset("flat.hdf5", "out.hdf5")


ODD: dict[str, Any] = {
    "scalar": np.float64(3),
    "more axes": np.zeros((5, 2, 2)),
    "nothing": h5py.Empty("f4"),
    "records": np.zeros(5, dtype=[("a", "f4"), ("b", "i4")]),
}


@pytest.mark.parametrize("format_name", EXPORTS)
@pytest.mark.parametrize("odd", ["missing", "group", *ODD])
def test_an_array_of_another_kind_is_the_files_fault(three: Path, format_name: str, odd: str) -> None:
    export_dataset(three, OUT[format_name], format_name=format_name)
    path = Path("minari/own/three-v0/data/main_data.hdf5" if format_name == "minari" else "out.hdf5")
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    whole, refused = path.read_bytes(), 0
    for name in (
        name for name in names if not name.startswith(("data/demo_1", "data/demo_2", "episode_1", "episode_2"))
    ):
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            del file[name]
            if odd == "group":
                file.create_group(name)
            elif odd in ODD:
                file[name] = ODD[odd]
        try:
            report = import_dataset(OUT[format_name], "back.hdf5", format_name=format_name, overwrite=True)
            refused += any("1 of 3 episodes left out" in note for note in report.notes)
        except DatasetError:
            refused += 1
    assert refused >= 3


@pytest.mark.parametrize("junk", [None, -1, "x", [], {}, [1, "a"], {"a": [None]}, float("inf"), [[]]], ids=str)
def test_odd_metadata_of_minari_is_the_files_fault(three: Path, junk: Any) -> None:
    export_dataset(three, OUT["minari"], format_name="minari")
    place = Path("minari/own/three-v0/data/metadata.json")
    whole, outcomes = json.loads(place.read_text()), set()
    for name in ("total_episodes", "data_format", "observation_space", "action_space", "dataset_id", "awac_tr"):
        place.write_text(json.dumps(whole | {name: junk}))
        try:
            outcomes.add(import_dataset(OUT["minari"], "back.hdf5", overwrite=True).transitions)
        except DatasetError:
            outcomes.add(0)
    assert outcomes == {0, 13}
