"""``awac-tr data import`` and ``export`` as typed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from awac_tr.cli.main import main
from awac_tr.data.convert.formats import EXPORTS, FORMATS, takers
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode

OUT = {"d4rl": "out.hdf5", "robomimic": "out.hdf5", "minari": "own/three-v0"}


@pytest.fixture(autouse=True)
def _minari_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three episodes of 5, 1 and 7 rows; the second ends in a terminal state."""
    path, rng = tmp_path / "three.hdf5", np.random.default_rng(0)
    with DatasetWriter(path, DatasetMeta("", "random", [-1], [1])) as writer:
        for seed, steps in enumerate((5, 1, 7)):
            states, last = rng.normal(size=(steps + 1, 2)).astype(np.float32), np.arange(steps) == steps - 1
            columns = np.zeros((steps, 1), np.float32), np.ones(steps, np.float32)
            writer.append(Episode(states[:-1], *columns, states[1:], last & (seed == 1), last & (seed != 1), {}, seed))
        writer.finish()
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


OPTIONS = {
    "horizon": ("5",),
    "relabel": (),
    "reward": ("0",),
    "obs_keys": ("flat",),
    "filter_key": ("train",),
    "dones": ("terminal",),
    "ends": ("done",),
    "actions": ("raw",),
    "out_of_bounds": ("clip",),
}


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_option_is_taken_by_the_formats_that_its_help_names_and_by_no_other(format_name: str) -> None:
    told = " ".join(run("import", "--help").stdout.split())
    for option, value in OPTIONS.items():
        flag = f"--{option.replace('_', '-')}"
        assert not takers(option) or re.search(rf"{flag} [^:]*?{', '.join(takers(option))}: ", told)
        done = run("import", "nothing", "--format", format_name, "--out", "x", flag, *value)
        idle = f"{flag} has no effect on the format {format_name}, only on {' and '.join(takers(option))}\n"
        assert (done.exit_code, idle in done.stderr) == (2, option not in FORMATS[format_name].options), done.stderr


def test_options_of_no_effect_on_this_very_file_are_refused_too(three: Path) -> None:
    for format_name in ("d4rl", "robomimic"):
        run("export", three, "--format", format_name, "--out", f"{format_name}.hdf5")
    for name, arguments in (("d4rl", ["--reward", "0"]), ("robomimic", ["--dones", "cut"])):
        done = run("import", f"{name}.hdf5", "--out", "x.hdf5", *arguments)
        assert (done.exit_code, f"{arguments[0]} has no effect here" in done.stderr) == (2, True), done.stderr
        assert not Path("x.hdf5").exists()


def test_a_reward_for_d4rl_without_rewards(three: Path) -> None:
    run("export", three, "--format", "d4rl", "--out", "d4rl.hdf5")
    with h5py.File("d4rl.hdf5", "r+") as file:
        del file["rewards"]
    assert "has no rewards\nGive every row one with --reward 0" in run("import", "d4rl.hdf5", "--out", "x.hdf5").stderr
    done = run("import", "d4rl.hdf5", "--reward", "-1", "--out", "x.hdf5")
    assert (done.exit_code, "13 rewards set to -1.0" in done.stderr) == (0, True), done.stderr
    with open_dataset("x.hdf5") as dataset:
        assert dataset.rows("rewards").tolist() == [-1] * 13


@pytest.mark.parametrize("format_name", EXPORTS)
def test_there_and_back_as_typed(three: Path, tmp_path: Path, format_name: str) -> None:
    done = run("export", three, "--format", format_name, "--out", OUT[format_name])
    assert (done.exit_code, done.stdout) == (0, f"{OUT[format_name]}: 3 episodes, 13 transitions, as {format_name}\n")
    done = run("import", OUT[format_name], "--out", "back")
    assert done.exit_code == 0, done.stderr
    assert f"read as {format_name}" in done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'datasets' / 'back.hdf5'}: 3 episodes, 13 transitions, sha256:")
    with open_dataset(three) as mine, open_dataset(tmp_path / "datasets" / "back.hdf5") as back:
        assert mine.content_hash == back.content_hash
    assert run("import", OUT[format_name], "--out", "back").exit_code == 2
    as_json = run("import", OUT[format_name], "--out", "back", "--force", "--json")
    assert json.loads(as_json.stdout)["transitions"] == 13
    assert json.loads(run("export", three, "--format", "d4rl", "--out", "f.hdf5", "--json").stdout)["episodes"] == 3


def test_mistakes_as_typed(three: Path) -> None:
    for arguments in (
        ("import", "absent.hdf5", "--out", "x"),
        ("import", three, "--out", "x"),
        ("export", "absent", "--format", "d4rl", "--out", "x.hdf5"),
        ("export", three, "--format", "minari", "--out", "../x-v0"),
        ("export", three, "--format", "lerobot", "--out", "x"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, arguments
        assert "Traceback" not in done.output


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    rows = 20_000
    states = np.arange(rows + 1, dtype=np.float32)[:, None]
    with h5py.File("flat.hdf5", "w") as file:
        file["observations"], file["next_observations"], file["actions"] = states[:-1], states[1:], 0 * states[1:]
        file["rewards"], file["terminals"], file["timeouts"] = (
            np.zeros(rows),
            np.zeros(rows, bool),
            states[1:, 0] % 2 == 0,
        )
    command = [sys.executable, "-m", "awac_tr", "data", "import", "flat.hdf5", "--out", str(tmp_path / "out.hdf5")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path, env=os.environ)
    part = tmp_path / "out.hdf5.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size > 50_000):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.hdf5"]
