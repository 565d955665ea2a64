"""Recorded actions in the installed simulator: the same to the bit, and every change is found out."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace as changed
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import imageio_ffmpeg
import numpy as np
import pytest

from awac_tr.collectors.episodes import rollout, rollouts
from awac_tr.data.convert.importer import ImportSettings, import_dataset
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.env_info import env_info
from awac_tr.envs.episode import Episode
from awac_tr.envs.gl import choose_backend
from awac_tr.envs.make import make_env
from awac_tr.errors import AwacError, DatasetError, UntrustedCodeError
from awac_tr.policies.noise import OUController
from awac_tr.recipes.schema import EnvSection
from awac_tr.replay import replay

HORIZON = 40


def acting(size: int) -> Callable[[], OUController]:
    return partial(OUController, -np.ones(size, np.float32), np.ones(size, np.float32))


def record(path: Path, env_id: str, *, n: int = 2, states: bool = True, **about: Any) -> Path:
    """A file of noise, as ``awac-tr collect`` makes it."""
    size = env_info(env_id).action_size
    kwargs = about.get("env_kwargs", {})
    episodes = rollouts(
        EnvSection(id=env_id, kwargs=kwargs, horizon=HORIZON), acting(size), range(5, 5 + n), record_state=states
    )
    return write(path, env_id, list(episodes), **about)


def write(path: Path, env_id: str, episodes: list[Episode], **about: Any) -> Path:
    bound = [1.0] * episodes[0].actions.shape[1]
    low = about.pop("low", [-entry for entry in bound])
    meta = DatasetMeta(env_id, "ou", low, [-entry for entry in low], horizon=HORIZON, **about)
    with DatasetWriter(path, meta) as writer:
        for episode in episodes:
            writer.append(episode)
        writer.finish()
    return path


@pytest.fixture(scope="session")
def door_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two episodes of 40 steps; any door counts as open that is moved at all."""
    path = record(tmp_path_factory.mktemp("door") / "door.hdf5", "door-binary-v0", env_kwargs={"hinge": 1e-6})
    return path.read_bytes()


@pytest.fixture
def door(tmp_path: Path, door_bytes: bytes) -> Path:
    path = tmp_path / "door.hdf5"
    path.write_bytes(door_bytes)
    return path


@pytest.mark.parametrize("env_id", ["door-binary-v0", "pen-binary-v0", "relocate-binary-v0", "HalfCheetah-v5"])
@pytest.mark.parametrize("states", [True, False])
def test_what_was_collected_here_comes_out_the_same_to_the_last_bit(tmp_path: Path, env_id: str, states: bool) -> None:
    report = replay(record(tmp_path / "a.hdf5", env_id, states=states))
    assert report.agrees
    assert report.totals["exact"] == report.totals["played"] == 2
    assert report.totals["rows_checked"] == 0  # nothing departs, so nothing has to be found
    assert report.verdict == f"belongs to {env_id} as installed: 2 episodes came out as recorded, to the last bit"
    assert report.remarks == []
    assert [(one.index, one.start, one.steps, one.played) for one in report.episodes] == [
        (0, "seed", HORIZON, HORIZON),
        (1, "seed", HORIZON, HORIZON),
    ]


def test_an_environment_without_simulator_and_with_real_ends(tmp_path: Path) -> None:
    pendulum = list(
        rollouts(EnvSection(id="Pendulum-v1", horizon=20), partial(OUController, -2 * np.ones(1), 2 * np.ones(1)), [3])
    )
    assert replay(write(tmp_path / "p.hdf5", "Pendulum-v1", pendulum, low=[-2.0])).totals["exact"] == 1
    hopper = list(rollouts(EnvSection(id="Hopper-v5", horizon=200), acting(3), [3, 4]))
    assert hopper[0].terminals[-1]
    assert replay(write(tmp_path / "h.hdf5", "Hopper-v5", hopper)).totals["exact"] == 2
    longer = changed(hopper[0], terminals=hopper[0].terminals & False, timeouts=hopper[0].terminals)
    report = replay(write(tmp_path / "l.hdf5", "Hopper-v5", [longer]))
    assert not report.agrees
    assert f"1 episode (0) end otherwise: simulator ends the episode at step {len(longer)}" in report.remarks


def test_from_states_in_the_middle_row_by_row(tmp_path: Path, door: Path) -> None:
    """Without the seed, and begun in the middle: what MuJoCo keeps beside qpos and qvel is lost, the rows are not."""
    with h5py.File(door) as file:
        rows = {name: file[name][17:HORIZON] for name in ("observations", "actions", "rewards", "next_observations")}
        infos = {name: file["infos"][name][17:HORIZON] for name in file["infos"]}
    ends = np.arange(HORIZON - 17) == HORIZON - 18
    tail = Episode(**rows, terminals=ends & False, timeouts=ends, infos=infos, seed=-1)
    report = replay(write(tmp_path / "tail.hdf5", "door-binary-v0", [tail], env_kwargs={"hinge": 1e-6}))
    (one,) = report.episodes
    assert (one.start, one.rows_checked, one.row_departures) == ("state", HORIZON - 17, [])
    assert one.row_error < 1e-4
    assert report.agrees
    assert not one.exact


class Fully:
    """Keeps the whole state of the simulator before each action."""

    def __init__(self, env: Any) -> None:
        self.env, self.noise, self.states = env, acting(28)(), []

    def reset(self, seed: int) -> None:
        self.noise.reset(seed)

    def act(self, observation: np.ndarray) -> np.ndarray:
        self.states.append(self.env.unwrapped.get_state())
        return self.noise.act(observation)


def test_with_the_whole_state_the_middle_is_exact_too(tmp_path: Path) -> None:
    env = make_env(EnvSection(id="door-binary-v0", horizon=HORIZON))
    controller = Fully(env)
    episode = rollout(env, controller, 5)
    names = controller.states[0]
    infos = {name: np.stack([state[name] for state in controller.states[17:]]) for name in names}
    rows = {name: getattr(episode, name)[17:] for name in vars(episode) if name not in ("infos", "seed")}
    tail = Episode(**rows, infos=infos | {"success": episode.infos["success"][17:]}, seed=-1)
    report = replay(write(tmp_path / "tail.hdf5", "door-binary-v0", [tail]))
    assert (report.episodes[0].start, report.episodes[0].exact, report.episodes[0].row_error) == ("state", True, 0)


def edit(path: Path, name: str, row: int, change: Callable[[np.ndarray], Any]) -> None:
    with h5py.File(path, "r+") as file:
        file[name][row] = change(file[name][row])


@pytest.mark.parametrize("states", [True, False])
def test_one_changed_action_is_found_in_its_row(tmp_path: Path, door: Path, states: bool) -> None:
    if not states:
        with h5py.File(door, "r+") as file:
            del file["infos/qpos"]
    edit(door, "actions", HORIZON + 11, lambda action: action * 0.9)
    report = replay(door)
    assert not report.agrees
    assert report.verdict.startswith("does not belong to door-binary-v0 as installed, or was changed: 1 of 2 episodes")
    first, second = report.episodes
    assert first.exact
    assert (second.first_difference, second.first_departure) == (12, 12)
    if states:
        assert second.row_departures == [11]
        said = "1 of 40 rows do not follow from their own recorded state (episode 1 row 11)"
        assert any(remark.startswith(said) for remark in report.remarks)


@pytest.mark.parametrize(
    ("name", "row", "where"),
    [("observations", 7, 7), ("next_observations", 7, 8), ("rewards", 7, None), ("infos/success", 7, None)],
)
def test_a_changed_entry_of_any_column_is_found(door: Path, name: str, row: int, where: int | None) -> None:
    edit(door, name, row, lambda entry: ~entry if entry.dtype == bool else entry + np.float32(0.01))
    one, other = replay(door).episodes
    assert not one.agrees
    assert other.exact
    assert one.first_departure == where
    assert 7 in one.row_departures
    assert (one.reward_departures, one.success_departures) == (name == "rewards", name == "infos/success")


def test_changed_simulator_states_are_found(door: Path) -> None:
    edit(door, "infos/qpos", HORIZON + 9, lambda pose: pose + 0.5)
    report = replay(door)
    one, other = report.episodes
    assert one.exact
    assert not other.agrees
    assert (other.first_pose_departure, other.first_departure) == (9, None)
    assert other.pose_error == pytest.approx(0.5)
    assert other.row_departures == [9]
    assert any("are not those of the rows, by up to 0.5, first before step 9" in text for text in report.remarks)


def test_contact_forces_are_no_false_alarm(tmp_path: Path) -> None:
    """They are observed, and depend on more than the recorded state; played through they come out the same."""
    episodes = list(rollouts(EnvSection(id="Ant-v5", horizon=60), acting(8), range(5, 7), record_state=True))
    assert replay(write(tmp_path / "a.hdf5", "Ant-v5", episodes)).totals["exact"] == 2


def test_a_number_that_is_none_departs(door: Path) -> None:
    edit(door, "next_observations", 3, lambda entry: entry * np.nan)
    one = replay(door, row_by_row=False).episodes[0]
    assert (one.first_departure, one.agrees) == (4, False)


@pytest.mark.parametrize(("shift", "said"), [(1, "of the row before"), (-1, "of the row after")])
def test_rewards_moved_by_a_step_are_told_as_such(tmp_path: Path, shift: int, said: str) -> None:
    path = record(tmp_path / "cheetah.hdf5", "HalfCheetah-v5")
    with h5py.File(path, "r+") as file:
        for start in (0, HORIZON):
            file["rewards"][start : start + HORIZON] = np.roll(file["rewards"][start : start + HORIZON], shift)
    report = replay(path)
    assert not report.agrees
    assert {one.reward_shift for one in report.episodes} == {shift}
    (remark,) = [remark for remark in report.remarks if remark.startswith("rewards differ")]
    assert "where states agree" in remark
    assert said in remark


def test_rewards_of_other_arguments_are_another_rule(door: Path) -> None:
    with h5py.File(door, "r+") as file:
        file.attrs["env_kwargs"] = "{}"
    report = replay(door)
    assert not report.agrees
    assert any("they follow another rule" in remark for remark in report.remarks)
    assert report.totals["row_departures"] > 0


def test_another_environment_is_found_out(tmp_path: Path, door: Path) -> None:
    with pytest.raises(DatasetError, match="actions have 28 numbers, in relocate-binary-v0 30") as caught:
        replay(door, env="relocate-binary-v0")
    assert caught.value.hint == "It was made in another environment."
    cheetah = record(tmp_path / "c.hdf5", "HalfCheetah-v5")
    with h5py.File(cheetah, "r+") as file:
        file.attrs["env_kwargs"] = '{"frame_skip": 4}'
    report = replay(cheetah)
    assert not report.agrees
    assert report.totals["row_departures"] == 2 * HORIZON
    assert any("other dynamics or rewards" in remark for remark in report.remarks)


def test_seeds_of_other_episodes_are_found_out(door: Path) -> None:
    with h5py.File(door, "r+") as file:
        file["episodes/seeds"][...] = [5, 7]
    report = replay(door)
    first, second = report.episodes
    assert (first.exact, second.start, second.agrees, second.follows) == (True, "state", False, True)
    assert second.seed_error is not None
    assert second.seed_error > 0.01
    assert any(remark.startswith("the seeds of 1 episode (1) lead to other starts") for remark in report.remarks)


def test_other_versions_are_named_where_it_departs_or_not(door: Path) -> None:
    with h5py.File(door, "r+") as file:
        file.attrs["versions"] = '{"mujoco": "2.0.0", "numpy": "1.0"}'
    report = replay(door)
    assert report.agrees
    (remark,) = report.remarks
    assert re.fullmatch(r"versions differ: mujoco 2\.0\.0 then, 3\S+ now; .*", remark)


def test_a_simulation_that_becomes_unstable_is_a_departure(door: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from awac_tr.envs.adroit import AdroitBinaryEnv
    from awac_tr.errors import EnvError

    def unstable(self: Any, action: np.ndarray) -> Any:
        raise EnvError("the simulation became unstable")

    monkeypatch.setattr(AdroitBinaryEnv, "step", unstable)
    report = replay(door)
    assert not report.agrees
    assert [one.played for one in report.episodes] == [0, 0]
    assert any("the simulator failed in 2 episodes (0, 1)" in remark for remark in report.remarks)


def test_human_demonstrations_as_far_as_their_starts_allow(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "demos" / "door-v0_demos.pickle"
    import_dataset(source, tmp_path / "human.hdf5", settings=ImportSettings("door-binary-v0"))
    report = replay(tmp_path / "human.hdf5", episodes=[0, 1, 11, 12])
    assert {one.start for one in report.episodes} == {"rebuilt"}
    assert max(one.start_error for one in report.episodes) < 1e-5
    assert all(one.played == one.steps > 200 for one in report.episodes)
    assert max(one.error_growth[2] for one in report.episodes) < 0.05
    assert [one.success_replayed for one in report.episodes] == [False, False, True, False]
    assert report.totals["success_agrees"] == 4
    assert not report.agrees
    assert report.verdict.startswith("cannot be told for certain: the recorded starts are incomplete")
    assert "velocities were never recorded" in report.remarks[0]


def test_what_cannot_be_replayed_says_why(tmp_path: Path, door: Path) -> None:
    with h5py.File(door, "r+") as file:
        file["episodes/seeds"][...] = [-1, -1]
        del file["infos/qpos"]
    with pytest.raises(DatasetError, match=r"no episode can be begun \(neither a seed nor a state was recorded"):
        replay(door)
    with pytest.raises(DatasetError, match="has 2 episodes, none of number 2"):
        replay(door, episodes=[1, 2])
    with h5py.File(door, "r+") as file:
        file["episodes/seeds"][...] = [5, -1]
        file.attrs["extra"] = '{"label": "clean"}'
    with pytest.raises(DatasetError, match="its actions are labels without the noise"):
        replay(door)
    with h5py.File(door, "r+") as file:
        file.attrs["extra"] = "{}"
        file.attrs["env_id"] = "evil:door-binary-v0"
    with pytest.raises(UntrustedCodeError, match="names code, which was not imported: evil:door-binary-v0"):
        replay(door)
    with h5py.File(door, "r+") as file:
        file.attrs["env_id"] = "dor-binary-v0"
    with pytest.raises(AwacError, match="Did you mean door-binary-v0"):
        replay(door)
    report = replay(door, env="door-binary-v0")
    assert [one.possible for one in report.episodes] == [True, False]
    assert any(remark.startswith("1 episode could not be begun (1): neither") for remark in report.remarks)


def test_a_file_of_others_with_states(tmp_path: Path, door: Path) -> None:
    """D4RL's layout: no attributes, no seeds, states under infos with their own names."""
    with h5py.File(door, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]
        del file["episodes"]
    with pytest.raises(DatasetError, match="does not say its environment") as caught:
        replay(door)
    assert "--env" in caught.value.hint
    report = replay(door, env="door-binary-v0")
    assert {one.start for one in report.episodes} == {"state"}
    assert [(one.state_error, one.pose_error) for one in report.episodes] == [(0, 0)] * 2


def test_films_show_the_record_beside_the_replay(tmp_path: Path) -> None:
    choice = choose_backend()
    if choice.backend is None:
        pytest.skip(f"nothing here can draw: {choice.explain()}")
    (episode,) = rollouts(EnvSection(id="door-binary-v0", horizon=8), acting(28), [5], record_state=True)
    path = write(tmp_path / "door.hdf5", "door-binary-v0", [changed(episode, actions=-episode.actions)])
    report = replay(path, films=tmp_path / "films", row_by_row=False)
    assert report.films == (tmp_path / "films" / "episode-0.mp4",)
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(report.films[0]), *raw]
    pictures = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    pictures = pictures.reshape(-1, 480, 1280).astype(float)
    assert len(pictures) == 9
    apart = np.abs(pictures[:, 60:460, :640] - pictures[:, 60:460, 640:]).mean(axis=(1, 2))
    assert apart[0] < 1
    assert apart[-1] > apart[0] + 0.3
