"""The paper's human demonstrations, imported as they are."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.convert.importer import ImportReport, ImportSettings, import_dataset
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env
from awac_tr.errors import DatasetError, EnvError
from awac_tr.recipes.schema import EnvSection

DOOR = "door-binary-v0"
HINGE = 28
"""Where the door's angle stands in the observation."""


def demonstrations(count: int = 2, steps: int = 6, sizes: tuple[int, int] = (39, 28)) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "observations": rng.normal(size=(steps, sizes[0])) * 0.1,
            "actions": rng.uniform(-1.2, 1.2, size=(steps, sizes[1])),
            "rewards": np.full(steps, 20.0),
            "init_state_dict": {"qpos": np.zeros(30), "door_body_pos": np.full(3, float(number))},
        }
        for number in range(count)
    ]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pickled(path: Path, value: Any) -> Path:
    path.write_bytes(pickle.dumps(value))
    return path


def import_hand_dapg(
    source: Path, out: Path, env_id: str, *, licence: str = "", overwrite: bool = False
) -> ImportReport:
    settings = ImportSettings(env_id, licence=licence)
    return import_dataset(source, out, format_name="hand_dapg", settings=settings, overwrite=overwrite)


def test_the_human_demonstrations(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "demos" / "door-v0_demos.pickle"
    report = import_hand_dapg(source, tmp_path / "door.hdf5", DOOR, licence="Apache-2.0")
    loaded = pickle.loads(source.read_bytes(), encoding="latin1")  # noqa: S301  (the published file)
    rows = sum(len(demonstration["actions"]) - 1 for demonstration in loaded)
    clipped = sum(int((np.abs(np.float32(demo["actions"][:-1])) > 1).sum()) for demo in loaded)
    assert (report.episodes, report.dropped, report.transitions, report.clipped) == (25, 25, rows, clipped)
    assert (report.successes, report.beyond_horizon) == (6, 25)
    with open_dataset(tmp_path / "door.hdf5") as dataset:
        assert dataset.content_hash == report.content_hash
        assert (dataset.meta.env_id, dataset.meta.horizon, dataset.meta.licence) == (DOOR, 200, "Apache-2.0")
        assert dataset.meta.source == "import"
        opened = []
        for index, demonstration in enumerate(loaded):
            episode = dataset.episode(index)
            np.testing.assert_array_equal(episode.observations, np.float32(demonstration["observations"][:-1]))
            np.testing.assert_array_equal(episode.next_observations, np.float32(demonstration["observations"][1:]))
            np.testing.assert_array_equal(episode.actions, np.float32(demonstration["actions"][:-1]).clip(-1, 1))
            open_now = np.float32(demonstration["observations"][1:, HINGE]) > 1.4
            np.testing.assert_array_equal(episode.rewards, np.where(open_now, 0, -1))
            np.testing.assert_array_equal(episode.infos["success"], open_now)
            assert episode.timeouts.nonzero()[0].tolist() == [len(episode.rewards) - 1]
            assert not episode.terminals.any()
            if open_now.any():
                opened.append(index)
    assert opened == [11, 16, 18, 22, 23, 24]
    assert {finding.severity for finding in validate(tmp_path / "door.hdf5")} == {"note"}


def test_a_rule_on_next_observations_is_what_the_environment_returns() -> None:
    rule = env_info(DOOR).reward_rule
    assert rule is not None
    env = make_env(EnvSection(id=DOOR, horizon=400))
    try:
        observation, _ = env.reset(seed=0)
        state: dict[str, Any] = env.unwrapped.get_state()  # type: ignore[attr-defined]
        state["qpos"][HINGE] = 1.37
        env.unwrapped.set_state(state)  # type: ignore[attr-defined]
        env.unwrapped.set_state(state | {"qvel": state["qvel"] + 2 * (np.arange(30) == HINGE)})  # type: ignore[attr-defined]
        rewards, ruled = [], []
        for _ in range(60):
            observation, reward, *_ = env.step(np.zeros(28, np.float32))
            rewards.append(reward)
            ruled.append(rule(observation[None])[0])
    finally:
        env.close()
    assert set(rewards) == {-1, 0}
    assert rewards == ruled


def test_what_is_kept_of_the_initial_state(tmp_path: Path) -> None:
    import_hand_dapg(pickled(tmp_path / "a.pickle", demonstrations()), tmp_path / "a.hdf5", DOOR)
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert file["episodes/init_door_body_pos"][:].tolist() == [[0, 0, 0], [1, 1, 1]]
        assert file["episodes/init_qpos"].shape == (2, 30)
        assert file["episodes/seeds"][:].tolist() == [-1, -1]


def test_everything_that_was_changed_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        report = import_hand_dapg(pickled(tmp_path / "a.pickle", demonstrations()), tmp_path / "a.hdf5", DOOR)
    assert report.clipped > 0
    assert f"{report.clipped} action entries clipped" in caplog.text
    assert "2 rows dropped" in caplog.text
    assert "rewards relabelled" in caplog.text
    assert "longer than the horizon" not in caplog.text
    for note in report.notes:
        assert note in caplog.text


def test_whole_numbers_as_actions_are_said(tmp_path: Path) -> None:
    cut = [{**demo, "actions": demo["actions"].astype(np.int64)} for demo in demonstrations()]
    report = import_hand_dapg(pickled(tmp_path / "a.pickle", cut), tmp_path / "a.hdf5", DOOR)
    assert any("whole numbers (int64)" in note for note in report.notes)


def test_a_pickle_that_runs_code_leaves_nothing(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    source = pickled(tmp_path / "a.pickle", [*demonstrations(), Runs()])
    with pytest.raises(DatasetError, match="refused"):
        import_hand_dapg(source, tmp_path / "a.hdf5", DOOR)
    assert names(tmp_path) == ["a.pickle"]


def bomb() -> list[Any]:
    one = demonstrations(1, 200)[0]
    return [one] * 10_000


WRONG = [
    ({"a": 1}, "holds dict, not a list of episodes"),
    ([], "not a list of episodes"),
    ([1], "episode 0 is int, not a dict"),
    ([{"observations": np.zeros((3, 39))}], "episode 0 has no array actions"),
    ([{"observations": np.zeros(3), "actions": np.zeros((3, 28))}], "no array observations with rows and columns"),
    ([{"observations": np.zeros((3, 39)), "actions": np.zeros((2, 28))}], "3 observations for 2 actions"),
    ([{"observations": np.zeros((1, 39)), "actions": np.zeros((1, 28))}], "1 observations for 1 actions"),
    (demonstrations(sizes=(45, 24)), "observations of 45 and actions of 24 numbers, door-binary-v0 has 39 and 28"),
    ([{**demonstrations()[0], "init_state_dict": 3}], "init_state_dict is int"),
    (
        [{**demonstrations()[0], "actions": np.full((6, 28), np.nan)}],
        "its one episode cannot be used: .*NaN",
    ),
    (
        [demonstrations()[0], *[{**demonstrations()[0], "init_state_dict": {}}] * 2],
        "2 of 3 episodes cannot be used: episode 1 differs from those before it",
    ),
    (bomb(), "what its lists and dicts hold would stand for more than"),
]


@pytest.mark.parametrize(("value", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_another_layout_is_refused_by_episode(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        import_hand_dapg(pickled(tmp_path / "a.pickle", value), tmp_path / "a.hdf5", DOOR)
    assert names(tmp_path) == ["a.pickle"]


def test_environments_it_cannot_be_for(tmp_path: Path) -> None:
    source = pickled(tmp_path / "a.pickle", demonstrations())
    with pytest.raises(EnvError, match="door-binary-v0"):
        import_hand_dapg(source, tmp_path / "a.hdf5", "dor-binary-v0")
    with pytest.raises(DatasetError, match="has no reward rule"):
        import_hand_dapg(source, tmp_path / "a.hdf5", "Pendulum-v1")
    assert names(tmp_path) == ["a.pickle"]


def test_an_existing_file_is_replaced_only_when_told(tmp_path: Path) -> None:
    source, out = pickled(tmp_path / "a.pickle", demonstrations()), tmp_path / "a.hdf5"
    out.write_text("mine")
    with pytest.raises(DatasetError, match="exists already"):
        import_hand_dapg(source, out, DOOR)
    assert out.read_text() == "mine"
    import_hand_dapg(source, out, DOOR, overwrite=True)
    assert validate(out) == []
