"""One bad episode does not block an import: it is left out, counted, said, and in the record; too many are refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.convert.importer import ImportReport, ImportSettings, import_dataset
from awac_tr.data.ops.lineage import lineage
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.fix import fix
from awac_tr.data.validation.fix_plan import RefusalError
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError

Episodes = list[dict[str, Any]]
NEXT = "next_observations"
STEPS = 6


def episodes(count: int = 4, width: int = 39, size: int = 28) -> Episodes:
    """Cut episodes of random steps, [STEPS] rows each."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        states = rng.normal(size=(STEPS + 1, width)).astype(np.float32)
        actions = rng.uniform(-1, 1, (STEPS, size)).astype(np.float32)
        found.append({"observations": states[:-1], "actions": actions, "rewards": -np.ones(STEPS), NEXT: states[1:]})
    return found


def flat(said: Episodes) -> str:
    lengths = [len(one["actions"]) for one in said]
    with h5py.File("flat.hdf5", "w") as file:
        for name in said[0]:
            file[name] = np.concatenate([one[name] for one in said])
        ends = np.zeros(sum(lengths), bool)
        ends[np.cumsum(lengths) - 1] = True
        file["terminals"], file["timeouts"] = np.zeros_like(ends), ends
    return "flat.hdf5"


def robomimic(said: Episodes) -> str:
    with h5py.File("robomimic.hdf5", "w") as file:
        for number, one in enumerate(said):
            demo = file.create_group(f"data/demo_{number}")
            if len(one["actions"]):
                demo["obs/flat"], demo["next_obs/flat"] = one["observations"], one[NEXT]
                demo["actions"], demo["rewards"] = one["actions"], one["rewards"]
    return "robomimic.hdf5"


def minari(said: Episodes) -> str:
    folder = Path("minari-data")
    folder.mkdir()
    (folder / "metadata.json").write_text(f'{{"total_episodes": {len(said)}}}')
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for number, one in enumerate(said):
            group, rows = file.create_group(f"episode_{number}"), len(one["actions"])
            group["observations"] = np.concatenate([one["observations"][:1], one[NEXT]])
            group["actions"], group["rewards"] = one["actions"], one["rewards"]
            group["terminations"], group["truncations"] = np.zeros(rows, bool), np.arange(rows) == rows - 1
    return str(folder)


def dapg(said: Episodes) -> str:
    with Path("demos.pickle").open("wb") as file:
        pickle.dump([{name: one[name].astype(float) for name in ("observations", "actions")} for one in said], file)
    return "demos.pickle"


FORMATS: dict[str, Callable[[Episodes], str]] = {
    "d4rl": flat,
    "robomimic": robomimic,
    "minari": minari,
    "hand_dapg": dapg,
}


def bring(name: str, said: Episodes) -> tuple[ImportReport, dict[str, Any]]:
    env_id = "door-binary-v0" if name == "hand_dapg" else ""
    report = import_dataset(FORMATS[name](said), "out.hdf5", settings=ImportSettings(env_id=env_id), overwrite=True)
    with open_dataset("out.hdf5") as dataset:
        return report, dataset.arrays(dataset.array_names) | {"bounds": dataset.episode_bounds, "meta": dataset.meta}


def empty(one: dict[str, Any]) -> None:
    one |= {name: rows[:0] for name, rows in one.items()}


def unequal(one: dict[str, Any]) -> None:
    one["actions"] = one["actions"][:-2]


def nan_within(one: dict[str, Any]) -> None:
    one["actions"] = one["actions"].copy()
    one["actions"][2, 0] = np.nan


SPOILT = {"empty": empty, "unequal": unequal, "NaN within": nan_within}
CASES = [(name, spoil) for name in FORMATS for spoil in SPOILT if name != "d4rl" or spoil == "NaN within"]


@pytest.mark.parametrize(("name", "spoil"), CASES)
def test_a_bad_episode_is_left_out_and_said(name: str, spoil: str) -> None:
    said = episodes()
    SPOILT[spoil](said[0])
    report, found = bring(name, said)
    assert report.episodes == len(found["bounds"]) == 3
    assert report.notes[0].startswith("1 of 4 episodes left out: ")
    assert found["meta"].extra["left_out"] == report.notes[0]
    assert found["meta"].extra["import_notes"] == report.notes
    assert report.notes[0] in lineage("out.hdf5").parents[0].detail
    np.testing.assert_array_equal(found["observations"][: STEPS - 1], said[1]["observations"][: STEPS - 1])


@pytest.mark.parametrize(("name", "spoil"), CASES)
def test_most_of_them_bad_is_a_bad_recording(name: str, spoil: str) -> None:
    said = episodes()
    for one in said[:3]:
        SPOILT[spoil](one)
    with pytest.raises(DatasetError, match="3 of 4 episodes cannot be used: "):
        bring(name, said)
    assert not Path("out.hdf5").exists()


@pytest.mark.parametrize("array", ["observations", "actions", "rewards", NEXT])
@pytest.mark.parametrize("name", ["d4rl", "robomimic", "minari"])
def test_not_finite_numbers_in_a_last_row_cost_that_row(name: str, array: str) -> None:
    said = episodes()
    for one in said:
        one[array][-1] = np.inf
    if array == "observations":  # the state is the next one of the row before
        for one in said:
            one[NEXT][-2] = np.inf
    report, found = bring(name, said)
    rows = STEPS - (2 if array == "observations" else 1)
    assert np.diff(found["bounds"]).ravel().tolist() == [rows] * 4
    assert found["timeouts"].sum() == 4
    assert f"{4 * (STEPS - rows)} rows dropped at the end of an episode: NaN or infinite numbers" in report.notes


def test_a_demonstration_that_ends_in_nan_loses_those_rows() -> None:
    said = episodes()
    said[1]["observations"][-1] = np.nan
    report, found = bring("hand_dapg", said)
    assert np.diff(found["bounds"]).ravel().tolist() == [5, 4, 5, 5]
    assert "1 rows dropped at the end of an episode: NaN or infinite numbers" in report.notes


def spoil_file(terminal: bool, array: str, rows: Any) -> Path:
    path = Path(flat(episodes()))
    with h5py.File(path, "r+") as file:
        if terminal:
            file["terminals"][...], file["timeouts"][...] = file["timeouts"][...], False
        changed = file[array][...]
        changed[rows] = np.nan
        file[array][...] = changed
    return path


def test_nan_after_the_last_action_is_mended_by_dropping_the_row() -> None:
    report = fix(spoil_file(False, NEXT, [5, 23]), "mended.hdf5")
    assert "2 rows dropped at the end of an episode: NaN or infinite numbers" in report.changes
    with open_dataset("mended.hdf5") as dataset:
        assert np.diff(dataset.episode_bounds).ravel().tolist() == [5, 6, 6, 5]
    assert not [finding for finding in validate("mended.hdf5") if finding.severity != "note"]


def test_nothing_is_asked_of_the_state_after_a_terminal_row() -> None:
    path = spoil_file(True, NEXT, [5, 23])
    report = fix(path, "mended.hdf5")
    assert "2 terminal rows given its own observation as the next, which was NaN or infinite" in report.changes
    imported = import_dataset(path, "out.hdf5")
    assert any("2 rows that end the task lead to NaN" in note for note in imported.notes)
    for name in ("mended.hdf5", "out.hdf5"):
        with open_dataset(name) as dataset:
            assert dataset.arrays(["terminals"])["terminals"].nonzero()[0].tolist() == [5, 11, 17, 23]


def test_a_file_of_which_nothing_would_be_left_is_refused_by_its_own_name() -> None:
    path = spoil_file(False, "actions", slice(0, 24, 2))
    with pytest.raises(RefusalError, match="4 episodes dropped: NaN") as caught:
        fix(path, "mended.hdf5")
    assert "pass" not in str(caught.value)
    assert not list(Path().glob("mended*"))
