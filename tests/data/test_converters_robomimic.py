"""robomimic's files: as its own scripts lay them out, and as robomimic would read ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.convert.exporter import export_dataset
from awac_tr.data.convert.files import in_order
from awac_tr.data.convert.importer import ImportReport, ImportSettings, import_dataset
from awac_tr.data.storage.reader import open_dataset
from awac_tr.errors import DatasetError

Demo = dict[str, Any]


def demo(seed: int, steps: int, *, done: bool = True) -> Demo:
    """A demonstration as robomimic stores it after postprocessing."""
    rng = np.random.default_rng(seed)
    parts = {"object": rng.normal(size=(steps + 1, 4)), "eef_pos": rng.normal(size=(steps + 1, 3))}
    parts["gripper"] = rng.normal(size=steps + 1)
    image = rng.integers(0, 255, (steps + 1, 8, 8, 3), dtype=np.uint8)
    both = parts | {"agentview_image": image}
    return {
        **{f"obs/{name}": rows[:-1] for name, rows in both.items()},
        **{f"next_obs/{name}": rows[1:] for name, rows in both.items()},
        "actions": rng.uniform(-1, 1, (steps, 2)),
        "rewards": rng.normal(size=steps),
        "dones": (np.arange(steps) == steps - 1).astype(np.int64) * done,
        "states": rng.normal(size=(steps, 9)),
    }


def save(demos: dict[str, Demo], path: str = "robomimic.hdf5", masks: Any = None, env_type: int = 1) -> str:
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(len(one["actions"]) for one in demos.values())
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_type": env_type, "env_kwargs": {"a": 1}})
        for name, one in demos.items():
            for key, rows in one.items():
                file[f"data/{name}/{key}"] = rows
            data[name].attrs["num_samples"] = len(one["actions"])
        for key, names in (masks or {}).items():
            file[f"mask/{key}"] = np.array(names, dtype="S")
    return path


def bring(path: str, **settings: Any) -> tuple[ImportReport, dict[str, np.ndarray[Any, Any]], Any]:
    report = import_dataset(path, "out.hdf5", settings=ImportSettings(**settings), overwrite=True)
    with open_dataset("out.hdf5") as dataset:
        return report, dataset.arrays(dataset.array_names), dataset.meta


def side_by_side(one: Demo, group: str, *names: str) -> Any:
    return np.concatenate([one[f"{group}/{name}"].reshape(len(one["actions"]), -1) for name in names], axis=1)


def test_demonstrations_come_in_by_their_numbers() -> None:
    demos = {f"demo_{number}": demo(number, 3 + number) for number in (10, 2, 0)}
    report, found, meta = bring(save(demos))
    ordered = [demos["demo_0"], demos["demo_2"], demos["demo_10"]]
    keys = ("eef_pos", "gripper", "object")
    for group, name in (("obs", "observations"), ("next_obs", "next_observations")):
        expected = np.concatenate([side_by_side(one, group, *keys) for one in ordered])
        np.testing.assert_array_equal(found[name], expected.astype(np.float32))
    for name in ("actions", "rewards"):
        np.testing.assert_array_equal(found[name], np.concatenate([one[name] for one in ordered]).astype(np.float32))
    np.testing.assert_array_equal(found["infos/states"], np.concatenate([one["states"] for one in ordered]))
    assert found["terminals"].nonzero()[0].tolist() == [2, 7, 20]
    assert not found["timeouts"].any()
    assert (report.dropped, report.episodes) == (0, 3)
    assert meta.extra["observation_keys"] == list(keys)
    assert meta.extra["env_args"] == {"env_name": "Lift", "env_type": 1}
    assert meta.env_id == ""
    assert "left out of the observation: agentview_image" in report.notes


def test_parts_of_the_observation_in_the_order_asked_for() -> None:
    one = demo(0, 4)
    _, found, meta = bring(save({"demo_0": one}), obs_keys=("object", "eef_pos"))
    expected = side_by_side(one, "obs", "object", "eef_pos").astype(np.float32)
    np.testing.assert_array_equal(found["observations"], expected)
    assert meta.extra["observation_keys"] == ["object", "eef_pos"]
    for wrong in ("objekt", "agentview_image"):
        with pytest.raises(DatasetError, match=f"no vector '{wrong}'"):
            bring("robomimic.hdf5", obs_keys=(wrong,))


def test_a_filter_key_chooses_demonstrations() -> None:
    demos = {f"demo_{number}": demo(number, 3) for number in range(3)}
    path = save(demos, masks={"train": ["demo_2", "demo_0"], "gone": ["demo_7"]})
    _, found, _ = bring(path, filter_key="train")
    expected = np.concatenate([demos["demo_0"]["rewards"], demos["demo_2"]["rewards"]])
    np.testing.assert_array_equal(found["rewards"], expected.astype(np.float32))
    with pytest.raises(DatasetError, match="no filter key 'trian'") as caught:
        bring(path, filter_key="trian")
    assert "Did you mean train" in caught.value.hint
    with pytest.raises(DatasetError, match="mask names demo_7"):
        bring(path, filter_key="gone")


def without(one: Demo, *groups: str) -> Demo:
    return {name: rows for name, rows in one.items() if name.split("/")[0] not in groups}


def test_without_next_observations_only_terminal_last_rows_stay() -> None:
    report, found, _ = bring(save({"demo_0": without(demo(0, 4), "next_obs"), "demo_1": demo(1, 3)}))
    np.testing.assert_array_equal(found["next_observations"][3], found["observations"][3])
    assert (len(found["rewards"]), report.dropped) == (7, 0)
    unfinished = without(demo(0, 4, done=False), "next_obs")
    report, found, _ = bring(save({"demo_0": unfinished}))
    states = side_by_side(unfinished, "obs", "eef_pos", "gripper", "object").astype(np.float32)
    np.testing.assert_array_equal(found["next_observations"], states[1:])
    assert (len(found["rewards"]), report.dropped, found["timeouts"].tolist()) == (3, 1, [False, False, True])
    report, found, _ = bring(save({"demo_0": without(demo(0, 4), "next_obs")}), dones="cut")
    assert (len(found["rewards"]), report.dropped) == (3, 1)


def test_dones_can_mean_a_cut_and_early_ones_end_nothing() -> None:
    one = demo(0, 5)
    one["dones"][2:] = 1
    report, found, _ = bring(save({"demo_0": one}), dones="cut")
    assert found["timeouts"].tolist() == [False, False, False, False, True]
    assert found["infos/dones"].tolist() == [False, False, True, True, True]
    assert any(note.startswith("2 rows before the last have dones set") for note in report.notes)


def test_next_observations_of_another_recording_are_said() -> None:
    one = demo(0, 5)
    one["next_obs/object"] = one["next_obs/object"] + np.array([0, 1, 0, 0, 2.0])[:, None]
    report, found, _ = bring(save({"demo_0": one}))
    np.testing.assert_array_equal(found["next_observations"][:-1], found["observations"][1:])
    np.testing.assert_array_equal(
        found["next_observations"][-1], side_by_side(one, "next_obs", "eef_pos", "gripper", "object")[-1].astype("f4")
    )
    assert any(note.startswith("1 rows have a next_obs unlike") for note in report.notes)


def test_other_counts_than_there_are_rows_are_said() -> None:
    path = save({"demo_0": demo(0, 4), "demo_1": demo(1, 3)})
    with h5py.File(path, "r+") as file:
        file["data/demo_1"].attrs["num_samples"] = 9
        file["data"].attrs["total"] = 13
    notes = bring(path)[0].notes
    assert any(note.startswith("1 episodes note other numbers of steps") for note in notes)
    assert any(note.startswith("the recording notes 13 steps, there are 7") for note in notes)
    assert not any("notes" in note for note in bring(save({"demo_0": demo(0, 4)}))[0].notes)


def test_bounds_are_those_of_the_environment_that_the_file_names() -> None:
    path = save({"demo_0": {**demo(0, 4), "actions": np.full((4, 1), 0.5)}}, env_type=2)
    with h5py.File(path, "r+") as file:
        file["data"].attrs["env_args"] = json.dumps({"env_name": "Pendulum-v1", "env_type": 2})
        for group in ("obs", "next_obs"):
            for name in ("object", "gripper"):
                del file[f"data/demo_0/{group}/{name}"]
    _, _, meta = bring(path)
    assert (meta.env_id, meta.action_low, meta.action_high) == ("Pendulum-v1", (-2,), (2,))


def test_rewards_that_are_missing_must_be_said() -> None:
    path = save({"demo_0": without(demo(0, 4), "rewards")})
    with pytest.raises(DatasetError, match="demo_0 has no rewards") as caught:
        bring(path)
    assert "--reward 0" in caught.value.hint
    report, found, _ = bring(path, reward=-0.5)
    assert found["rewards"].tolist() == [-0.5] * 4
    assert "4 rewards set to -0.5: the recording has none" in report.notes


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda one: without(one, "obs"), "has no group obs"),
        (lambda one: without(one, "actions"), "has no actions"),
        (lambda one: one | {"obs/object": one["obs/object"][:-1]}, "differ in their number of rows"),
        (lambda one: one | {"actions": one["actions"][:-1]}, "4 observations for 3 actions|dones .* expected 3 rows"),
        (lambda one: {name: rows for name, rows in one.items() if "image" in name or "/" not in name}, "is a vector"),
    ],
)
def test_what_a_demonstration_must_have(spoil: Any, message: str) -> None:
    one = spoil(demo(0, 4))
    demos = {"demo_0": one | {"actions": one.get("actions", np.zeros((4, 2)))}}
    save(demos)
    if "actions" not in one:
        with h5py.File("robomimic.hdf5", "r+") as file:
            del file["data/demo_0/actions"]
    with pytest.raises(DatasetError, match=message):
        import_dataset("robomimic.hdf5", "out.hdf5", format_name="robomimic")
    assert not Path("out.hdf5").exists()


def test_a_gym_environment_is_named() -> None:
    one = without(demo(0, 3), "obs", "next_obs") | {"obs/flat": np.zeros((3, 3)), "next_obs/flat": np.zeros((3, 3))}
    _, _, meta = bring(save({"demo_0": one}, env_type=2))
    assert meta.env_id == "Lift"


def test_names_in_order() -> None:
    names = ["demo_10", "other", "demo_9", "demo_0"]
    assert in_order(names) == ["other", "demo_0", "demo_9", "demo_10"]


def test_robomimic_finds_what_it_reads_in_an_export(three: Path) -> None:
    export_dataset(three, "robomimic.hdf5", format_name="robomimic")
    with open_dataset(three) as dataset, h5py.File("robomimic.hdf5") as file:
        data = file["data"]
        assert (data.attrs["total"], list(data)) == (13, ["demo_0", "demo_1", "demo_2"])
        assert set(json.loads(data.attrs["env_args"])) == {"env_name", "env_type", "env_kwargs"}
        for number, group in enumerate(data.values()):
            mine = dataset.episode(number)
            assert group.attrs["num_samples"] == len(mine)
            np.testing.assert_array_equal(group["obs/flat"], mine.observations, strict=True)
            np.testing.assert_array_equal(group["next_obs/flat"], mine.next_observations, strict=True)
            np.testing.assert_array_equal(group["actions"], mine.actions, strict=True)
            np.testing.assert_array_equal(group["rewards"], mine.rewards, strict=True)
            np.testing.assert_array_equal(group["dones"], mine.terminals.astype(np.int32), strict=True)
