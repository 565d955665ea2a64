"""A user's own run, recorded into a file: sound, loadable, and there also when the run goes wrong."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from awac_tr.buffers import load_transitions
from awac_tr.data import DatasetMeta, DatasetWriter, open_dataset, record
from awac_tr.data.validation.validate import validate
from awac_tr.envs.env_info import env_info
from awac_tr.errors import DatasetError, EnvError
from awac_tr.replay import replay


class Rig(gymnasium.Env[Any, Any]):
    """Of nobody's registry: it drifts by the action, and may break down."""

    def __init__(self, fault: Callable[[int], None] = lambda step: None) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float64)
        self._fault, self._step = fault, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = self.np_random.normal(size=2)
        return self._state.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._step += 1
        self._fault(self._step)
        self._state += action
        return self._state.copy(), -float(np.abs(self._state).sum()), False, False, {"force": action * 2}


def play(env: gymnasium.Env[Any, Any], resets: int = 2, steps: int = 10) -> None:
    env.action_space.seed(0)
    for seed in range(resets):
        env.reset(seed=seed)
        for _ in range(steps):
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                break


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("env_id", "infos", "steps"),
    [
        ("HalfCheetah-v5", ("x_velocity",), 30),
        ("Pendulum-v1", (), 300),
        ("Hopper-v5", (), 300),
        ("door-binary-v0", (), 30),
    ],
)
def test_registered_environments(tmp_path: Path, env_id: str, infos: tuple[str, ...], steps: int) -> None:
    import awac_tr.envs  # noqa: F401  (registers ours)

    path = tmp_path / "mine.hdf5"
    with record(gymnasium.make(env_id), path, source="random", licence="MIT", infos=infos) as env:
        play(env, steps=steps)
        assert names(tmp_path) == ["mine.hdf5.lock", "mine.hdf5.part"]
    assert names(tmp_path) == ["mine.hdf5"]
    assert [finding for finding in validate(path) if finding.severity != "note"] == []
    with open_dataset(path) as dataset:
        assert (dataset.meta.env_id, dataset.meta.source, dataset.meta.licence) == (env_id, "random", "MIT")
        assert dataset.meta.horizon == gymnasium.spec(env_id).max_episode_steps
        assert len(dataset.episodes) == 2
        assert dataset.episodes.seeds.tolist() == [0, 1]
        assert ("infos/qpos" in dataset.array_names) == (env_id != "Pendulum-v1")
        assert {name for name in infos if f"infos/{name}" not in dataset.array_names} == set()
        rows = load_transitions([path], env=env_info(env_id))
        assert len(rows) == len(dataset.transitions)
        assert rows["next", "done"].sum() == 2
        assert rows["next", "terminated"].sum() == (2 if env_id == "Hopper-v5" else 0)
    report = replay(path)
    assert report.totals["exact"] == 2, report.verdict


def test_an_unregistered_rig(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mine.hdf5"
    about: dict[str, Any] = {"policy": "Ada at the gamepad", "description": "Pushing.", "horizon": 50}
    with caplog.at_level(logging.INFO), record(
        Rig(), path, source="teleop", env_id="ada/Rig-v0", infos=("force",), extra={"room": 3}, **about
    ) as env:  # fmt: skip
        play(env)
    assert validate(path)[0].code == "unknown-env"
    assert all(finding.severity == "note" for finding in validate(path))
    with open_dataset(path) as dataset:
        meta = dataset.meta
        assert (meta.env_id, meta.horizon, meta.policy, meta.extra) == (
            "ada/Rig-v0",
            50,
            "Ada at the gamepad",
            {"room": 3},
        )
        assert (meta.action_low, meta.action_high) == ((-1, -1), (1, 1))
        assert dataset.episodes.lengths.tolist() == [10, 10]
        episode = dataset.episodes.including("force")[1]
        np.testing.assert_allclose(episode["info", "force"], 2 * episode["action"].double(), rtol=1e-6)
        np.testing.assert_allclose(
            episode["next", "observation"] - episode["observation"], episode["action"], atol=1e-5
        )
        assert episode["next", "truncated"].squeeze().tolist() == [False] * 9 + [True]
    assert len(load_transitions([path])) == 20
    assert f"{path}: 2 episodes, 20 transitions" in caplog.messages
    with record(Rig(), tmp_path / "nameless.hdf5", source="teleop") as env:
        play(env)
    with open_dataset(tmp_path / "nameless.hdf5") as dataset:
        assert (dataset.meta.env_id, dataset.meta.horizon) == ("", None)


def broken(error: BaseException, at: int) -> Callable[[int], None]:
    def fault(step: int) -> None:
        if step == at:
            raise error

    return fault


@pytest.mark.parametrize("error", [RuntimeError("gripper"), KeyboardInterrupt()])
def test_what_there_was_is_kept_when_the_rig_breaks_down(
    tmp_path: Path, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.hdf5"
    with pytest.raises(type(error)), record(Rig(broken(error, 15)), path, source="teleop") as env:
        play(env)
    assert names(tmp_path) == ["mine.hdf5"]
    with open_dataset(path) as dataset:
        assert dataset.episodes.lengths.tolist() == [10, 4]
    assert validate(path) == []
    assert f"{path}: 2 episodes, 14 transitions, kept; {type(error).__name__} ended the recording" in caplog.messages


def test_or_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mine.hdf5"
    fault = broken(RuntimeError("gripper"), 15)
    with (
        pytest.raises(RuntimeError, match="gripper"),
        record(Rig(fault), path, source="x", on_error="drop") as env,
    ):
        play(env)
    assert names(tmp_path) == []
    assert "not kept; RuntimeError ended the recording" in caplog.text
    early = broken(RuntimeError("gripper"), 1)
    with pytest.raises(RuntimeError, match="gripper"), record(Rig(early), path, source="x") as env:
        play(env)
    assert names(tmp_path) == []


def test_ctrl_c_waits_for_the_row_that_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, append = tmp_path / "mine.hdf5", DatasetWriter.append
    written: list[bool] = []

    def slow(self: DatasetWriter, *arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        append(self, *arguments)
        written.append(True)

    monkeypatch.setattr(DatasetWriter, "append", slow)
    with pytest.raises(KeyboardInterrupt), record(Rig(), path, source="teleop") as env:
        play(env)
    assert written
    with open_dataset(path) as dataset:
        assert dataset.episodes.lengths.tolist() == [10]


def test_in_a_thread_too(tmp_path: Path) -> None:
    def run() -> None:
        with record(Rig(), tmp_path / "mine.hdf5", source="teleop") as env:
            play(env)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert validate(tmp_path / "mine.hdf5") == []


def test_without_a_block_close_makes_the_file(tmp_path: Path) -> None:
    env = record(Rig(), tmp_path / "mine.hdf5", source="teleop")
    play(env)
    env.close()
    assert names(tmp_path) == ["mine.hdf5"]
    env.close()


def test_nothing_recorded_is_said(tmp_path: Path) -> None:
    env = record(Rig(), tmp_path / "mine.hdf5", source="teleop")
    env.reset()
    with pytest.raises(DatasetError, match=r"nothing was recorded, so there is no .*mine\.hdf5"):
        env.close()
    assert names(tmp_path) == []


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.hdf5"
    with pytest.raises(EnvError, match="are Discrete"):
        record(gymnasium.make("CartPole-v1"), path, source="x")
    with pytest.raises(EnvError, match="no MuJoCo state"):
        record(Rig(), path, source="x", record_state=True)
    with pytest.raises(DatasetError, match="on_error is 'ask'"):
        record(Rig(), path, source="x", on_error="ask")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="plain JSON"):
        record(Rig(), path, source="x", extra={"rig": object()})
    assert names(tmp_path) == []
    path.touch()
    with pytest.raises(DatasetError, match="exists already"):
        record(Rig(), path, source="x")
    with record(Rig(), path, source="x", overwrite=True) as env:
        play(env)
    assert validate(path) == []


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: DatasetWriter, *_: Any) -> None:
        self.abort()
        raise DatasetError("mine.hdf5 cannot be written: No space left on device")

    monkeypatch.setattr(DatasetWriter, "append", full)
    rig = Rig()
    with pytest.raises(DatasetError, match="No space left"), record(rig, tmp_path / "mine.hdf5", source="x") as env:
        play(env)
    assert names(tmp_path) == []


def test_wrappers_are_noted(tmp_path: Path) -> None:
    wrapped = gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), np.float32(-1), np.float32(1))
    with record(wrapped, tmp_path / "mine.hdf5", source="x") as env:
        play(env)
    with open_dataset(tmp_path / "mine.hdf5") as dataset:
        meta: DatasetMeta = dataset.meta
        assert (meta.env_id, meta.extra, meta.action_high) == ("", {"wrappers": ["RescaleAction"]}, (1.0,))
