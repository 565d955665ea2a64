"""D4RL's flat files, held against the way D4RL, CORL and d3rlpy read them, written down here in our own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.convert.episode_ends import cut_by_horizon
from awac_tr.data.convert.exporter import export_dataset
from awac_tr.data.convert.importer import ImportReport, ImportSettings, import_dataset
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError

Arrays = dict[str, Any]
TRANSITION = ("observations", "actions", "rewards", "next_observations", "terminals")


# --- how others read ------------------------------------------------------------------------------------------------


def q_learning_rows(data: Arrays, horizon: int | None = None) -> list[int]:
    """Rows that ``d4rl.qlearning_dataset`` keeps, which CORL took over; next observations are the following rows'.

    It goes over all rows but the last. A row at which time ran out is skipped: by ``timeouts``, or without them by
    counting to the environment's horizon from the last end.
    """
    kept, step = [], 0
    for row in range(len(data["rewards"]) - 1):
        out_of_time = data["timeouts"][row] if "timeouts" in data else step == (horizon or 0) - 1
        if out_of_time:
            step = 0
            continue
        step = 0 if data["terminals"][row] else step
        kept.append(row)
        step += 1
    return kept


def q_learning(data: Arrays, horizon: int | None = None) -> Arrays:
    rows = np.array(q_learning_rows(data, horizon))
    found = {name: np.asarray(data[name], np.float32)[rows] for name in ("observations", "actions", "rewards")}
    following = np.asarray(data["observations"], np.float32)[rows + 1]
    return found | {"next_observations": following, "terminals": np.asarray(data["terminals"], bool)[rows]}


def d3rlpy_transitions(data: Arrays) -> list[tuple[Any, ...]]:
    """What d3rlpy 2 samples: episodes cut at either flag; the last row of a cut one has no successor and is not used.

    The successor of a row that ended the task is not looked at: zeros.
    """
    found, start = [], 0
    for row in range(len(data["rewards"])):
        if not (data["terminals"][row] or data["timeouts"][row]):
            continue
        for step in range(start, row + 1 if data["terminals"][row] else row):
            over = step == row
            following = np.zeros_like(data["observations"][0]) if over else data["observations"][step + 1]
            found.append((data["observations"][step], data["actions"][step], data["rewards"][step], following, over))
        start = row + 1
    return found


def d4rl_keys(path: Path) -> Arrays:
    """Every array of a file by its full name, as D4RL's ``get_dataset`` loads them."""
    found: Arrays = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


# --- files like D4RL's ----------------------------------------------------------------------------------------------


def recorded(ends: str, *, seed: int = 0, width: int = 3) -> Arrays:
    """Rows whose flags are spelled: ``.`` goes on, ``T`` terminal, ``C`` cut, ``B`` both. Float64, as old files are."""
    rng = np.random.default_rng(seed)
    rows, following = len(ends), np.empty((len(ends), width))
    states = rng.normal(size=(rows, width))
    following[:-1] = states[1:]
    over = np.array([end != "." for end in ends])
    following[over] = rng.normal(size=(int(over.sum()), width))
    following[-1] = rng.normal(size=width)
    return {
        "observations": states,
        "actions": rng.uniform(-1, 1, (rows, 2)),
        "rewards": rng.normal(size=rows),
        "next_observations": following,
        "terminals": np.array([end in "TB" for end in ends]),
        "timeouts": np.array([end in "CB" for end in ends]),
        "infos/qpos": rng.normal(size=(rows, 4)),
        "infos/qvel": rng.normal(size=(rows, 4)),
    }


def save(data: Arrays, path: str = "d4rl.hdf5", *without: str) -> str:
    with h5py.File(path, "w") as file:
        for name, rows in data.items():
            if name not in without:
                file[name] = rows
    return path


def read(path: str = "out.hdf5") -> Arrays:
    with open_dataset(path) as dataset:
        return dataset.arrays(dataset.array_names) | {"bounds": dataset.episode_bounds}


def bring(path: str, **settings: Any) -> tuple[ImportReport, Arrays]:
    report = import_dataset(path, "out.hdf5", settings=ImportSettings(**settings))
    assert [finding for finding in validate("out.hdf5") if finding.severity == "error"] == []
    return report, read()


ENDS = "....C..T.C...T..C....C"


def test_a_whole_file_comes_in_row_by_row() -> None:
    data = recorded(ENDS)
    report, found = bring(save(data))
    assert (report.dropped, report.episodes) == (0, 6)
    for name in (*TRANSITION, "timeouts"):
        np.testing.assert_array_equal(found[name], data[name].astype(found[name].dtype), err_msg=name)
    np.testing.assert_array_equal(found["infos/qpos"], data["infos/qpos"], strict=True)
    assert found["episodes/seeds"].tolist() == [-1] * 6


@pytest.mark.parametrize("ends", [ENDS, "...C..C", ".T.T.T..C", "...C...", "..T.", "C..C", "...C.C"])
def test_without_next_observations_the_rows_are_those_of_q_learning(ends: str) -> None:
    data = recorded(ends)
    report, found = bring(save(data, "d4rl.hdf5", "next_observations"))
    expected = q_learning(data)
    for name in ("observations", "actions", "rewards", "terminals"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    used = ~expected["terminals"]
    np.testing.assert_array_equal(found["next_observations"][used], expected["next_observations"][used])
    np.testing.assert_array_equal(found["next_observations"][~used], expected["observations"][~used])
    np.testing.assert_array_equal(found["infos/qvel"], data["infos/qvel"][q_learning_rows(data)])
    assert report.dropped == len(ends) - len(found["rewards"])


def test_a_terminal_row_at_the_very_end_is_kept_where_q_learning_stops_before_it() -> None:
    data = recorded("...C..T")
    _, found = bring(save(data, "d4rl.hdf5", "next_observations"))
    rows = [*q_learning_rows(data), 6]
    np.testing.assert_array_equal(found["rewards"], data["rewards"][rows].astype(np.float32))
    assert found["terminals"].tolist() == [False] * 5 + [True]


def test_rows_both_terminal_and_cut_are_terminal() -> None:
    report, found = bring(save(recorded("..B..C")))
    assert found["terminals"].nonzero()[0].tolist() == [2]
    assert found["timeouts"].nonzero()[0].tolist() == [5]
    assert any("1 rows are both terminal and cut" in note for note in report.notes)


@pytest.mark.parametrize("without", [("timeouts",), ("timeouts", "next_observations")])
def test_without_timeouts_episodes_are_cut_by_the_horizon(without: tuple[str, ...]) -> None:
    data = recorded("...C.T...C...C..")
    path = save(data, "d4rl.hdf5", *without)
    if "next_observations" in without:
        with pytest.raises(DatasetError, match="has no timeouts") as caught:
            import_dataset(path, "out.hdf5")
        assert "--horizon" in caught.value.hint
        report, found = bring(path, horizon=4)
        assert any("episodes cut after 4 steps without an end" in note for note in report.notes)
    else:
        report, found = bring(path)
        assert any("by terminals and 3 borders that next_observations show" in note for note in report.notes)
    import_dataset(save(data, "marked.hdf5", *without[1:]), "marked-out.hdf5")
    marked = read("marked-out.hdf5")
    for name, rows in marked.items():
        np.testing.assert_array_equal(found[name], rows, strict=True, err_msg=name)


def test_without_timeouts_and_terminals_the_rows_are_those_of_q_learning() -> None:
    data = recorded("...C...C...C..")
    _, found = bring(save(data, "d4rl.hdf5", "timeouts", "next_observations"), horizon=4)
    expected = q_learning({name: rows for name, rows in data.items() if name != "timeouts"}, 4)
    for name in TRANSITION:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_after_a_terminal_q_learning_counts_one_step_too_many() -> None:
    # it leaves out a whole transition (row 5) and keeps one across the border (row 6): the one place we leave its way
    data = recorded("..T...C..C")
    unmarked = {name: rows for name, rows in data.items() if name != "timeouts"}
    assert q_learning_rows(data) == [0, 1, 2, 3, 4, 5, 7, 8]
    assert q_learning_rows(unmarked, 4) == [0, 1, 2, 3, 4, 6, 7, 8]
    _, found = bring(save(data, "d4rl.hdf5", "timeouts", "next_observations"), horizon=4)
    np.testing.assert_array_equal(found["rewards"], data["rewards"][q_learning_rows(data)].astype(np.float32))


def test_the_horizon_can_be_that_of_the_environment() -> None:
    data = recorded("." * 450, width=3)
    data["actions"] = data["actions"][:, :1]
    import_dataset(save(data, "d4rl.hdf5", "timeouts"), "out.hdf5", settings=ImportSettings(env_id="Pendulum-v1"))
    assert read()["bounds"].tolist() == [[0, 200], [200, 400], [400, 450]]


def test_cut_by_horizon_as_counted() -> None:
    rng = np.random.default_rng(0)
    for horizon in (1, 2, 5):
        terminals = rng.random(60) < 0.2
        step, expected = 0, []
        for terminal in terminals:
            expected.append(bool(not terminal and step == horizon - 1))
            step = 0 if terminal or step == horizon - 1 else step + 1
        assert cut_by_horizon(terminals, horizon).tolist() == expected


def test_unmarked_borders_are_found_and_said() -> None:
    data = recorded("....................C")
    data["next_observations"][4] += 1
    report, found = bring(save(data))
    assert found["bounds"].tolist() == [[0, 5], [5, 21]]
    assert any("1 rows whose next observation is not the next row's" in note for note in report.notes)
    data["next_observations"] = data["next_observations"][::-1].copy()
    with pytest.raises(DatasetError, match="do not follow each other"):
        import_dataset(save(data), "other.hdf5")


def test_old_shapes_and_odd_arrays() -> None:
    data = recorded("...C..T..C")
    expected = {name: data[name].copy() for name in ("rewards", "terminals", "timeouts")}
    for name in expected:
        data[name] = np.asarray(data[name], np.float64)[:, None]
    data |= {"metadata/algorithm": "SAC", "infos/names": np.array([b"x"] * 10), "infos/deep/er": np.zeros(10)}
    data |= {"infos/short": np.zeros(3), "env_steps": np.arange(10)}
    report, found = bring(save(data))
    for name, rows in expected.items():
        np.testing.assert_array_equal(found[name], rows.astype(found[name].dtype))
    assert "left out: env_steps, infos/deep, infos/names, infos/short" in report.notes
    assert "read as float32: actions (float64), observations (float64)" in report.notes


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "terminals"])
def test_what_a_file_must_have(name: str) -> None:
    data = recorded("..C")
    path = save(data, "d4rl.hdf5", name)
    with pytest.raises(DatasetError, match=f"no (array )?{name}"):
        import_dataset(path, "out.hdf5", format_name="d4rl")
    with pytest.raises(DatasetError, match=r"has \d rows, observations has \d|expected 3 rows"):
        import_dataset(save(data | {name: data[name][:2]}, "b.hdf5"), "out.hdf5")


def test_flags_of_another_shape_are_refused() -> None:
    data = recorded("..C")
    with pytest.raises(DatasetError, match="terminals has shape"):
        import_dataset(save(data | {"terminals": np.zeros((3, 2))}), "out.hdf5")


def test_a_hollow_array_is_refused() -> None:
    data = recorded("..C")
    path = save(data, "d4rl.hdf5", "terminals")
    with h5py.File(path, "r+") as file:
        file.create_dataset("terminals", shape=(1 << 34,), dtype=bool, chunks=(1 << 20,))
    with pytest.raises(DatasetError, match="claims"):
        import_dataset(path, "out.hdf5")


# --- ours, read by others -------------------------------------------------------------------------------------------


@pytest.fixture(params=["ours", "export"])
def ours(request: pytest.FixtureRequest, tmp_path: Path, make_episode: Any, write_dataset: Any) -> Path:
    """A file of ours as it is, and its export."""
    path = tmp_path / "mine.hdf5"
    lengths = [(5, False), (3, True), (7, False), (2, True), (6, False)]
    write_dataset(path, [make_episode(seed, steps, terminal=end) for seed, (steps, end) in enumerate(lengths)])
    if request.param == "ours":
        return path
    export_dataset(path, "export.hdf5", format_name="d4rl")
    return tmp_path / "export.hdf5"


def test_q_learning_reads_our_rows(ours: Path) -> None:
    mine, theirs = read(str(ours)), d4rl_keys(ours)
    found = q_learning(theirs)
    kept = np.flatnonzero(~mine["timeouts"])
    for name in ("observations", "actions", "rewards", "terminals"):
        np.testing.assert_array_equal(found[name], mine[name][kept], err_msg=name)
    used = ~found["terminals"]
    np.testing.assert_array_equal(found["next_observations"][used], mine["next_observations"][kept][used])


def test_d3rlpy_reads_our_episodes(ours: Path) -> None:
    mine = read(str(ours))
    found = d3rlpy_transitions(d4rl_keys(ours))
    kept = np.flatnonzero(~mine["timeouts"])
    assert len(found) == len(kept)
    for row, (state, action, reward, following, over) in zip(kept, found, strict=True):
        np.testing.assert_array_equal(state, mine["observations"][row])
        np.testing.assert_array_equal(action, mine["actions"][row])
        assert (reward, over) == (mine["rewards"][row], mine["terminals"][row])
        if not over:
            np.testing.assert_array_equal(following, mine["next_observations"][row])


def test_in_an_export_only_metadata_has_other_numbers_of_rows(three: Path, tmp_path: Path) -> None:
    # d4rl.sequence_dataset indexes every array outside metadata by the row
    export_dataset(three, "export.hdf5", format_name="d4rl")
    found = d4rl_keys(tmp_path / "export.hdf5")
    rows = {name: np.shape(array)[:1] for name, array in found.items() if not name.startswith("metadata/")}
    assert set(rows.values()) == {(13,)}
    assert set(rows) == {*TRANSITION, "timeouts", "infos/success", "infos/qpos"}
    assert found["metadata/episodes/seeds"].tolist() == [0, 1, 2]
    with h5py.File(tmp_path / "export.hdf5") as file:
        assert "format" not in file.attrs
