"""Minari's datasets: written by Minari itself and read by us, written by us and read by Minari."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from awac_tr.data.convert.exporter import export_dataset
from awac_tr.data.convert.importer import ImportReport, ImportSettings, import_dataset
from awac_tr.data.convert.minari_paths import dataset_place, fetch, is_id
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import EnvSection


@pytest.fixture(autouse=True)
def _minari_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def buffer(seed: int, steps: int, end: str = "truncated", **changed: Any) -> EpisodeBuffer:
    """An episode as Minari's own collector keeps it: one more observation, one more row of infos."""
    rng = np.random.default_rng(seed)
    last = np.arange(steps) == steps - 1
    plain: dict[str, Any] = {
        "seed": seed,
        "observations": rng.normal(size=(steps + 1, 3)),
        "actions": rng.uniform(-2, 2, (steps, 1)).astype(np.float32),
        "rewards": list(rng.normal(size=steps)),
        "terminations": list(last & (end in ("terminated", "both"))),
        "truncations": list(last & (end in ("truncated", "both"))),
        "infos": {
            "qpos": rng.normal(size=(steps + 1, 2)),
            "success": np.arange(steps + 1) == steps,
            "nested": {"speed": rng.normal(size=steps + 1)},
            "text": ["a"] * (steps + 1),
        },
    }
    return EpisodeBuffer(**plain | changed)


def make(buffers: list[EpisodeBuffer], dataset_id: str = "pendulum/test-v0", **arguments: Any) -> str:
    """Written by Minari."""
    plain = {"env": gymnasium.spec("Pendulum-v1"), "algorithm_name": "noise", "description": "a test"}
    if "observation_space" in arguments:
        del plain["env"]
    with contextlib.suppress(UserWarning), pytest.warns(UserWarning, match="is set to None"):
        minari.create_dataset_from_buffers(dataset_id, buffers, **plain | arguments)
    return dataset_id


def bring(source: str, **settings: Any) -> tuple[ImportReport, dict[str, np.ndarray[Any, Any]]]:
    report = import_dataset(source, "out.hdf5", settings=ImportSettings(**settings), overwrite=True)
    with open_dataset("out.hdf5") as dataset:
        return report, dataset.arrays(dataset.array_names)


def test_a_dataset_that_minari_wrote() -> None:
    buffers = [buffer(3, 5), buffer(4, 2, "terminated"), buffer(5, 4)]
    report, found = bring(make(buffers))
    assert (report.episodes, report.transitions, report.dropped, report.clipped) == (3, 11, 0, 0)
    joined = {
        "observations": np.concatenate([np.asarray(one.observations)[:-1] for one in buffers]),
        "next_observations": np.concatenate([np.asarray(one.observations)[1:] for one in buffers]),
        "actions": np.concatenate([np.asarray(one.actions) for one in buffers]),
        "rewards": np.concatenate([np.asarray(one.rewards) for one in buffers]),
        "terminals": np.concatenate([np.asarray(one.terminations) for one in buffers]),
        "timeouts": np.concatenate([np.asarray(one.truncations) for one in buffers]),
    }
    for name, rows in joined.items():
        np.testing.assert_array_equal(found[name], rows.astype(found[name].dtype), err_msg=name)
    assert found["episodes/seeds"].tolist() == [3, 4, 5]
    with open_dataset("out.hdf5") as dataset:
        meta = dataset.meta
    assert (meta.env_id, meta.horizon, meta.policy, meta.description) == ("Pendulum-v1", 200, "noise", "a test")
    assert (meta.action_low, meta.action_high, meta.source) == ((-2,), (2,), "import")
    assert meta.extra["minari_version"] == minari.__version__


def test_infos_keep_their_rows() -> None:
    buffers = [buffer(0, 5), buffer(1, 2)]
    report, found = bring(make(buffers))
    infos: Any = [one.infos for one in buffers]
    np.testing.assert_array_equal(found["infos/qpos"], np.concatenate([info["qpos"][:-1] for info in infos]))
    np.testing.assert_array_equal(found["episodes/final_qpos"], np.stack([info["qpos"][-1] for info in infos]))
    np.testing.assert_array_equal(found["infos/success"], np.concatenate([info["success"][1:] for info in infos]))
    assert found["episodes/reset_success"].tolist() == [False, False]
    speed = np.concatenate([info["nested"]["speed"][1:] for info in infos])
    np.testing.assert_array_equal(found["infos/nested.speed"], speed)
    assert "left out: infos/text" in report.notes


def test_unfinished_episodes_are_cut_and_said() -> None:
    report, found = bring(make([buffer(0, 3, "none"), buffer(1, 2, "both"), buffer(2, 2)]))
    assert found["timeouts"].nonzero()[0].tolist() == [2, 6]
    assert found["terminals"].nonzero()[0].tolist() == [4]
    assert any(note.startswith("1 episodes were left unfinished") for note in report.notes)
    assert any(note.startswith("1 episodes are both terminated and truncated") for note in report.notes)


def test_other_counts_than_there_are_rows_are_said(tmp_path: Path) -> None:
    source = make([buffer(3, 5), buffer(4, 2)])
    folder = tmp_path / "minari" / source / "data"
    with h5py.File(folder / "main_data.hdf5", "r+") as file:
        file["episode_1"].attrs["total_steps"] = 3
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | {"total_steps": 8}))
    notes = bring(source)[0].notes
    assert any(note.startswith("1 episodes note other numbers of steps") for note in notes)
    assert any(note.startswith("the recording notes 8 steps, there are 7") for note in notes)


def test_bounds_of_another_width_are_refused(tmp_path: Path) -> None:
    source = make([buffer(3, 5)])
    path = tmp_path / "minari" / source / "data" / "metadata.json"
    space = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-1, -1], "high": [1, 1]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"action_space": json.dumps(space)}))
    with pytest.raises(DatasetError, match="actions of 1 numbers, the bounds that the recording notes are 2"):
        import_dataset(source, "out.hdf5")


def test_an_episode_with_an_end_within_is_left_out_by_its_place() -> None:
    early = buffer(1, 4, terminations=[False, True, False, False])
    report = import_dataset(make([buffer(0, 3), early]), "out.hdf5")
    assert report.episodes == 1
    assert re.search("1 of 2 episodes left out: .*episode_1 has terminations set in row 1 of 4", report.notes[0])


def box(*shape: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, shape, np.float64)


def test_other_spaces_are_refused_by_name() -> None:
    parts = {"achieved_goal": box(2), "observation": box(3)}
    states: Any = {"achieved_goal": np.zeros((4, 2)), "observation": np.zeros((4, 3))}
    goals = {"observation_space": spaces.Dict(parts), "action_space": box(1)}
    source = make([buffer(0, 3, observations=states)], "goals-v0", **goals)
    with pytest.raises(DatasetError, match="the observations of goals-v0 are a Dict of achieved_goal, observation"):
        import_dataset(source, "out.hdf5")
    keys = {"observation_space": box(3), "action_space": spaces.Discrete(3)}
    source = make([buffer(0, 3, actions=np.zeros(3, np.int64))], "keys-v0", **keys)
    with pytest.raises(DatasetError, match="the actions of keys-v0 are a Discrete"):
        import_dataset(source, "out.hdf5")


def test_a_folder_and_a_file_are_read_like_the_id(tmp_path: Path) -> None:
    make([buffer(0, 3)])
    hashes = {
        import_dataset(source, "out.hdf5", overwrite=True).content_hash
        for source in (
            "pendulum/test-v0",
            "minari/pendulum/test-v0",
            str(tmp_path / "minari/pendulum/test-v0/data"),
            "minari/pendulum/test-v0/data/main_data.hdf5",
        )
    }
    assert len(hashes) == 1


def test_what_is_cut_short_or_odd_is_refused(tmp_path: Path) -> None:
    make([buffer(0, 3), buffer(1, 3)])
    data = tmp_path / "minari/pendulum/test-v0/data"
    with h5py.File(data / "main_data.hdf5", "r+") as file:
        del file["episode_1"]
    with pytest.raises(DatasetError, match=r"says 2 episodes, main_data.hdf5 has 1"):
        import_dataset("pendulum/test-v0", "out.hdf5")
    metadata = json.loads((data / "metadata.json").read_text())
    (data / "metadata.json").write_text(json.dumps(metadata | {"data_format": "arrow"}))
    with pytest.raises(DatasetError, match="stored as arrow"):
        import_dataset("pendulum/test-v0", "out.hdf5")
    (data / "metadata.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be read"):
        import_dataset("pendulum/test-v0", "out.hdf5")
    (data / "metadata.json").unlink()
    with pytest.raises(DatasetError, match=r"has no metadata.json"):
        import_dataset("minari/pendulum/test-v0", "out.hdf5", format_name="minari")


def test_no_module_and_no_environment_of_a_stranger_is_loaded(tmp_path: Path) -> None:
    make([buffer(0, 3)])
    (tmp_path / "loaded.py").write_text("raise SystemExit('run')")
    place = tmp_path / "minari/pendulum/test-v0/data/metadata.json"
    metadata = json.loads(place.read_text())
    for spec in ({"id": "loaded:Env-v0"}, {"id": "Evil-v0", "entry_point": "loaded:Env"}):
        place.write_text(json.dumps(metadata | {"env_spec": json.dumps(spec)}))
        report = import_dataset("pendulum/test-v0", "out.hdf5", overwrite=True)
        assert any("is not known here: sizes and rewards are not checked" in note for note in report.notes)


# --- from us to Minari ----------------------------------------------------------------------------------------------


@pytest.fixture
def door(tmp_path: Path) -> Path:
    """Two short episodes of the door, its threshold changed."""
    from awac_tr.collectors.episodes import rollouts
    from awac_tr.policies.controllers import RandomController

    low, high = -np.ones(28, np.float32), np.ones(28, np.float32)
    meta = DatasetMeta(
        "door-binary-v0", "random", low, high, horizon=6, env_kwargs={"hinge": 0.5}, policy="noise", description="words"
    )
    path = tmp_path / "door.hdf5"
    with DatasetWriter(path, meta) as writer:
        for one in rollouts(
            EnvSection(id="door-binary-v0", horizon=6), lambda: RandomController(low, high), [3, 4], record_state=True
        ):
            writer.append(one)
        writer.finish()
    return path


def test_minari_reads_an_export_array_by_array(door: Path) -> None:
    export_dataset(door, "awac/door/noise-v1", format_name="minari")
    dataset = minari.load_dataset("awac/door/noise-v1")
    assert (dataset.total_episodes, dataset.total_steps, dataset.spec.version) == (2, 12, 1)
    with open_dataset(door) as ours:
        for number, theirs in enumerate(dataset.iterate_episodes()):
            mine = ours.episode(number)
            np.testing.assert_array_equal(theirs.observations[:-1], mine.observations, strict=True)
            np.testing.assert_array_equal(theirs.observations[1:], mine.next_observations, strict=True)
            np.testing.assert_array_equal(theirs.actions, mine.actions, strict=True)
            np.testing.assert_array_equal(theirs.rewards, mine.rewards, strict=True)
            np.testing.assert_array_equal(theirs.terminations, mine.terminals, strict=True)
            np.testing.assert_array_equal(theirs.truncations, mine.timeouts, strict=True)
            np.testing.assert_array_equal(theirs.infos["success"][1:], mine.infos["success"])
            np.testing.assert_array_equal(theirs.infos["qpos"][:-1], mine.infos["qpos"], strict=True)
            assert np.isnan(theirs.infos["qpos"][-1]).all()
            assert all(dataset.observation_space.contains(state) for state in theirs.observations)
            assert all(dataset.action_space.contains(action) for action in theirs.actions)
    assert [one["seed"] for one in dataset.storage.get_episode_metadata([0, 1])] == [3, 4]
    metadata = dataset.storage.metadata
    assert (metadata["algorithm_name"], metadata["description"]) == ("noise", "words")
    assert set(minari.list_local_datasets()) == {"awac/door/noise-v1"}
    assert len(list(dataset.sample_episodes(2))) == 2


def test_minari_recovers_the_environment_and_its_states(door: Path) -> None:
    export_dataset(door, "noise-v0", format_name="minari")
    dataset = minari.load_dataset("noise-v0")
    env = dataset.recover_environment()
    try:
        assert env.spec is not None
        assert (env.spec.id, env.spec.max_episode_steps, env.spec.kwargs) == ("door-binary-v0", 6, {"hinge": 0.5})
        observation, _ = env.reset(seed=3)
        np.testing.assert_array_equal(observation, dataset[0].observations[0])
        observation, reward, *_ = env.step(dataset[0].actions[0])
        np.testing.assert_array_equal(observation, dataset[0].observations[1])
        assert reward == dataset[0].rewards[0]
    finally:
        env.close()


def test_without_an_environment_the_export_says_so(three: Path) -> None:
    report = export_dataset(three, "three-v0", format_name="minari")
    assert "the dataset names no environment: Minari cannot recover it from the export" in report.notes
    assert minari.load_dataset("three-v0").total_steps == 13


# --- ids and downloads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../up-v0", "/etc/up-v0", "a/../b-v0", "a//b-v0", "a\\b-v0", "up", "up-v", "ü-v0", "a/./b-v0", "a-v0/"]
)
def test_ids_cannot_lead_out_of_the_folder(three: Path, name: str, tmp_path: Path) -> None:
    assert not is_id(name)
    for act in (lambda: dataset_place(name), lambda: fetch(name)):
        with pytest.raises(DatasetError, match="is no Minari id"):
            act()
    with pytest.raises(DatasetError, match="is no Minari id"):
        export_dataset(three, name, format_name="minari")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["three.hdf5"]


def test_without_a_network_there_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the attempts of its download
    with pytest.raises(
        DatasetError, match=r"Minari's D4RL/door/human-v2 is not in .* cannot be downloaded: "
    ) as caught:
        import_dataset("D4RL/door/human-v2", "out.hdf5")
    assert "minari download D4RL/door/human-v2" in caught.value.hint
    assert not (tmp_path / "minari" / "D4RL").exists()


def test_without_the_packages_for_downloads_the_message_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    monkeypatch.delitem(__import__("sys").modules, "minari.storage.remotes.huggingface", raising=False)
    with pytest.raises(DatasetError) as caught:
        import_dataset("D4RL/door/human-v2", "out.hdf5")
    assert "awac-tr[remote]" in caught.value.hint


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("gone")])
def test_half_a_download_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Any) -> None:
    def download(dataset_id: str) -> None:
        (tmp_path / "minari" / dataset_id / "data").mkdir(parents=True)
        raise failure

    monkeypatch.setattr(minari, "download_dataset", download)
    with pytest.raises((KeyboardInterrupt, DatasetError)):
        import_dataset("far/away-v0", "out.hdf5")
    assert not (tmp_path / "minari" / "far" / "away-v0").exists()


def test_what_minari_downloads_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(dataset_id: str) -> None:
        print("downloading")  # noqa: T201  (as Minari does)
        make([buffer(0, 3)], dataset_id)

    monkeypatch.setattr(minari, "download_dataset", download)
    assert import_dataset("far/away-v0", "out.hdf5").transitions == 3
    printed = capsys.readouterr()
    assert (printed.out, "downloading" in printed.err) == ("", True)
