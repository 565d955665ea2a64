"""Round trips through every format we write, the import pipeline, formats told apart, and the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.convert.export_card import RECORDED_WITH
from awac_tr.data.convert.exporter import export_dataset
from awac_tr.data.convert.formats import EXPORTS, detect
from awac_tr.data.convert.importer import ImportSettings, import_dataset
from awac_tr.data.format.meta import DatasetMeta, Parent
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError, EnvError
from awac_tr.recipes.schema import EnvSection

OUT = {"d4rl": "out.hdf5", "robomimic": "out.hdf5", "minari": "own/three-v0"}


@pytest.fixture(autouse=True)
def _minari_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


@pytest.fixture
def rich(tmp_path: Path, make_episode: Any) -> Path:
    """Everything a dataset can have: seeds, infos of several kinds, arrays an episode, lineage, odd bounds."""
    path = tmp_path / "rich.hdf5"
    meta = DatasetMeta(
        "",
        "bc",
        [-1, -2],
        [1, 2],
        horizon=7,
        policy="a clone",
        seed=5,
        licence="MIT",
        description="öde",
        parents=(Parent("demos", "sha256:00", "demos"),),
        extra={"card": {"n": 3}},
    )
    with DatasetWriter(path, meta) as writer:
        for number, (steps, terminal) in enumerate([(5, False), (1, True), (7, True), (12, False), (1, False)]):
            one = make_episode(number, steps, terminal=terminal)
            one.infos["drawn"] = np.full((steps, 2), number, np.float64)
            one.infos["count"] = np.arange(steps, dtype=np.int64)
            writer.append(one, per_episode={"init_door": np.full(3, number, np.float64), "kind": np.int64(number)})
        writer.finish()
    return path


def assert_same(first: Path, second: Path) -> None:
    """Array by array, to the bit, and everything a dataset says about itself."""
    with open_dataset(first) as one, open_dataset(second) as other:
        assert one.array_names == other.array_names
        for name in one.array_names:
            assert one.dtype(name) == other.dtype(name), name
            np.testing.assert_array_equal(one.rows(name), other.rows(name), strict=True, err_msg=name)
        np.testing.assert_array_equal(one.episode_bounds, other.episode_bounds)
        assert one.compute_hash() == other.compute_hash() == other.content_hash
        recorded = other.meta.extra.pop(RECORDED_WITH)
        assert recorded == json.loads(one.attributes["versions"])
        assert one.meta == other.meta


@pytest.mark.parametrize("format_name", EXPORTS)
def test_a_round_trip_loses_nothing(rich: Path, tmp_path: Path, format_name: str) -> None:
    report = export_dataset(rich, OUT[format_name], format_name=format_name)
    assert (report.episodes, report.transitions) == (5, 26)
    back = import_dataset(OUT[format_name], tmp_path / "back.hdf5")
    assert back.content_hash == report.content_hash
    assert (back.clipped, back.dropped) == (0, 0)
    assert_same(rich, tmp_path / "back.hdf5")
    assert not [finding for finding in validate(tmp_path / "back.hdf5") if finding.severity == "error"]


@pytest.mark.parametrize("format_name", EXPORTS)
def test_rollouts_of_an_environment_come_back(tmp_path: Path, format_name: str) -> None:
    from awac_tr.collectors.episodes import rollouts
    from awac_tr.policies.controllers import RandomController

    env, source = "door-binary-v0", tmp_path / "door.hdf5"
    low, high = -np.ones(28, np.float32), np.ones(28, np.float32)
    meta = DatasetMeta(env, "random", low, high, horizon=6, env_kwargs={"hinge": 0.5})
    with DatasetWriter(source, meta) as writer:
        for one in rollouts(
            EnvSection(id=env, horizon=6), lambda: RandomController(low, high), [3, 4], record_state=True
        ):
            writer.append(one)
        writer.finish()
    export_dataset(source, OUT[format_name], format_name=format_name)
    import_dataset(OUT[format_name], tmp_path / "back.hdf5")
    assert_same(source, tmp_path / "back.hdf5")


@pytest.mark.parametrize("format_name", EXPORTS)
def test_the_human_demonstrations_come_back(shared_data: Path, tmp_path: Path, format_name: str) -> None:
    source = tmp_path / "human.hdf5"
    demos = shared_data / "demos" / "door-v0_demos.pickle"
    report = import_dataset(demos, source, settings=ImportSettings(env_id="door-binary-v0", licence="Apache-2.0"))
    assert (report.episodes, report.successes) == (25, 6)
    export_dataset(source, OUT[format_name], format_name=format_name)
    import_dataset(OUT[format_name], tmp_path / "back.hdf5")
    assert_same(source, tmp_path / "back.hdf5")


@pytest.mark.parametrize("format_name", EXPORTS)
def test_a_changed_export_is_noticed(
    three: Path, tmp_path: Path, format_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    export_dataset(three, OUT[format_name], format_name=format_name)
    place = {"minari": "minari/own/three-v0/data/main_data.hdf5"}.get(format_name, "out.hdf5")
    rewards = {"d4rl": "rewards", "robomimic": "data/demo_0/rewards", "minari": "episode_0/rewards"}[format_name]
    with h5py.File(place, "r+") as file:
        file[rewards][0] = 3
    import_dataset(OUT[format_name], tmp_path / "back.hdf5")
    assert "was changed since awac-tr exported it" in caplog.text


@pytest.mark.parametrize("format_name", EXPORTS)
def test_an_export_is_replaced_only_when_told(three: Path, tmp_path: Path, format_name: str) -> None:
    export_dataset(three, OUT[format_name], format_name=format_name)
    with pytest.raises(DatasetError, match="exists already"):
        export_dataset(three, OUT[format_name], format_name=format_name)
    export_dataset(three, OUT[format_name], format_name=format_name, overwrite=True)
    import_dataset(OUT[format_name], tmp_path / "back.hdf5")
    assert_same(three, tmp_path / "back.hdf5")
    assert [path for path in tmp_path.rglob("*") if path.name.endswith((".part", ".old"))] == []


@pytest.mark.parametrize("format_name", EXPORTS)
@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_failed_export_leaves_nothing(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str, failure: Any
) -> None:
    from awac_tr.data.storage.reader import Dataset

    calls, real = [], Dataset.rows

    def rows(self: Dataset, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > 20:
            raise failure
        return real(self, *arguments)

    monkeypatch.setattr("awac_tr.data.convert.exporter.validate", lambda _: [])
    monkeypatch.setattr(Dataset, "rows", rows)
    calls += [()] * (14 if format_name == "d4rl" else 0)
    with pytest.raises((KeyboardInterrupt, OSError, DatasetError)):
        export_dataset(three, OUT[format_name], format_name=format_name)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["three.hdf5"]
    assert not (tmp_path / "minari" / "own").exists()


def test_a_broken_dataset_is_not_exported(three: Path, tmp_path: Path) -> None:
    with h5py.File(three, "r+") as file:
        file["actions"][2] = np.nan
    with pytest.raises(DatasetError, match="NaN"):
        export_dataset(three, "out.hdf5", format_name="d4rl")
    assert not (tmp_path / "out.hdf5").exists()


def test_a_file_is_not_written_over_itself(three: Path) -> None:
    with pytest.raises(DatasetError, match="is the dataset itself"):
        export_dataset(three, str(three), format_name="d4rl", overwrite=True)
    export_dataset(three, "flat.hdf5", format_name="d4rl")
    with pytest.raises(DatasetError, match="is the recording itself"):
        import_dataset("flat.hdf5", "flat.hdf5", overwrite=True)


# --- what formats are told by -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", EXPORTS)
def test_exports_are_recognised(three: Path, format_name: str, caplog: pytest.LogCaptureFixture) -> None:
    export_dataset(three, OUT[format_name], format_name=format_name)
    with caplog.at_level("INFO"):
        assert detect(OUT[format_name]) == format_name
    assert f"{OUT[format_name]}: read as {format_name}" in caplog.text
    if format_name == "minari":
        for place in ("minari/own/three-v0", "minari/own/three-v0/data", "minari/own/three-v0/data/main_data.hdf5"):
            assert detect(place) == "minari"


def test_what_is_no_recording(three: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with h5py.File("both.hdf5", "w") as file:
        file["observations"], file["actions"] = np.zeros((2, 1)), np.zeros((2, 1))
        file.create_group("data/demo_0")
    for source, message in {
        str(three): "is a dataset of ours already",
        "a.txt": "of no format that is read: it looks like text",
        "empty": "of no format that is read: it looks like a folder with nothing",
        "absent.hdf5": "there is no file absent.hdf5",
        "../up-v0": "there is no file ../up-v0",
        "both.hdf5": "looks like d4rl and robomimic",
    }.items():
        with pytest.raises(DatasetError, match=message):
            detect(source)
    with pytest.raises(DatasetError, match="no format 'd4l'"):
        detect("both.hdf5", "d4l")
    with pytest.raises(DatasetError, match="no format 'hand_dapg' to export"):
        export_dataset(three, "x", format_name="hand_dapg")


# --- the pipeline, on the simplest format ---------------------------------------------------------------------------


def flat(path: str = "flat.hdf5", *, rows: int = 6, sizes: tuple[int, int] = (3, 2), **changed: Any) -> str:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(rows + 1, sizes[0]))
    arrays = {
        "observations": states[:-1],
        "next_observations": states[1:],
        "actions": rng.uniform(-1, 1, (rows, sizes[1])),
        "rewards": np.zeros(rows),
        "terminals": np.zeros(rows, bool),
        "timeouts": np.arange(rows) == rows - 1,
    }
    with h5py.File(path, "w") as file:
        for name, rows_ in (arrays | changed).items():
            if rows_ is not None:
                file[name] = rows_
    return path


def test_actions_beyond_one_set_the_bounds_where_no_environment_is_named(tmp_path: Path) -> None:
    actions = np.linspace(-3, 2, 12).reshape(6, 2)
    report = import_dataset(flat(actions=actions), "out.hdf5")
    assert report.clipped == 0
    assert any("bounds taken from the actions, [-3, 2]" in note for note in report.notes)
    with open_dataset("out.hdf5") as dataset:
        np.testing.assert_array_equal(dataset.rows("actions"), actions.astype(np.float32))
        np.testing.assert_allclose(dataset.meta.action_low, actions.min(axis=0), rtol=1e-6)


def test_actions_beyond_the_bounds_of_a_named_environment_are_clipped_and_counted() -> None:
    actions = np.zeros((6, 1))
    actions[2], actions[3] = 7, -9
    settings = ImportSettings(env_id="Pendulum-v1", licence="CC0-1.0")
    report = import_dataset(flat(sizes=(3, 1), actions=actions), "out.hdf5", settings=settings)
    assert report.clipped == 2
    with open_dataset("out.hdf5") as dataset:
        assert dataset.rows("actions")[:, 0].tolist() == [0, 0, 2, -2, 0, 0]
        assert (dataset.meta.env_id, dataset.meta.horizon, dataset.meta.licence) == ("Pendulum-v1", 200, "CC0-1.0")
        assert dataset.meta.action_high == (2,)
        notes = dataset.meta.extra.pop("import_notes")
        assert any("2 of 6 rows (2 entries) have actions outside -2 to 2, by up to 7" in note for note in notes)
        assert dataset.meta.extra == {"imported_from": "flat.hdf5", "format": "d4rl"}
        assert any("2 of 6 rows (2 entries) have actions outside -2 to 2, by up to 7" in note for note in notes)


def test_rewards_of_another_task_are_refused_or_relabelled() -> None:
    observations = np.zeros((7, 39))
    observations[4:, 28] = 1.5  # the door's angle
    source = flat(
        sizes=(39, 28), observations=observations[:-1], next_observations=observations[1:], rewards=np.full(6, 10.0)
    )
    with pytest.raises(DatasetError, match=r"rewards from 10 to 10, door-binary-v0 gives -1 to 0") as caught:
        import_dataset(source, "out.hdf5", settings=ImportSettings(env_id="door-binary-v0"))
    assert "--relabel" in caught.value.hint
    assert not Path("out.hdf5").exists()
    report = import_dataset(source, "out.hdf5", settings=ImportSettings(env_id="door-binary-v0", relabel=True))
    assert report.successes == 1
    with open_dataset("out.hdf5") as dataset:
        assert dataset.rows("rewards").tolist() == [-1, -1, -1, 0, 0, 0]
        assert dataset.rows("infos/success").tolist() == [False, False, False, True, True, True]
    assert [finding for finding in validate("out.hdf5") if finding.severity != "note"] == []


@pytest.mark.parametrize(
    ("changed", "settings", "message"),
    [
        ({}, {"env_id": "Pendulum-v1"}, "observations of 3 and actions of 2 numbers, Pendulum-v1 has 3 and 1"),
        ({}, {"relabel": True}, "no rule to relabel rewards by"),
        ({"actions": np.zeros(6, int)}, {}, r"actions has shape \(6,\)"),
        ({"observations": np.zeros((6, 8, 8, 3), np.uint8)}, {}, "has shape"),
        ({"observations": np.full((6, 3), 1e300)}, {}, "NaN or infinite"),
        ({"actions": np.full((6, 2), np.nan)}, {}, "NaN or infinite"),
    ],
)
def test_what_cannot_be_stored_is_refused(changed: Any, settings: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        import_dataset(flat(**changed), "out.hdf5", settings=ImportSettings(**settings))
    assert sorted(path.name for path in Path().iterdir()) == ["flat.hdf5"]


def test_an_unknown_environment_is_the_users_mistake() -> None:
    with pytest.raises(EnvError, match="Pendulum"):
        import_dataset(flat(), "out.hdf5", settings=ImportSettings(env_id="Pendulm-v1"))


def test_a_pickle_needs_an_environment() -> None:
    Path("a.pickle").write_bytes(b"\x80\x04N.")
    with pytest.raises(DatasetError, match="do not say which environment"):
        import_dataset("a.pickle", "out.hdf5")
