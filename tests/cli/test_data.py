"""``awac-tr data`` as typed: what it prints, and what it exits with."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pickled(path: Path, *, env_sizes: tuple[int, int] = (39, 28), extra: Any = None) -> Path:
    states, actions = np.zeros((5, env_sizes[0])), np.full((5, env_sizes[1]), 1.5)
    path.write_bytes(pickle.dumps([{"observations": states, "actions": actions, "more": extra}]))
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One episode of four rows, in the folder of datasets."""
    path = tmp_path / "datasets" / "mine.hdf5"
    states, last = np.arange(10, dtype=np.float32).reshape(5, 2), np.arange(4) == 3
    columns = np.zeros((4, 1), np.float32), np.arange(4, dtype=np.float32)
    meta = DatasetMeta("", "ou", [-1], [1], policy="noise", licence="MIT", seed=7)
    with DatasetWriter(path, meta) as writer:
        writer.append(Episode(states[:-1], *columns, states[1:], last & False, last, {"success": last}, 3))
        writer.finish()
    return path


def test_info_for_people(dataset: Path) -> None:
    result = run("info", dataset)
    assert result.exit_code == 0
    for expected in ("source", "noise", "MIT", "sha256:", "1: 0 terminal, 1 cut", "4 x 2", "success_any", "return"):
        assert expected in result.stdout


def test_info_for_programs_by_name(dataset: Path) -> None:
    result = run("info", "mine", "--json")
    info = json.loads(result.stdout)
    assert (info["transitions"], info["episodes"], info["timeouts"], info["terminals"]) == (4, 1, 1, 0)
    assert info["meta"]["seed"] == 7
    assert info["versions"]["mujoco"]
    assert info["measures"]["return"] == {"mean": 6, "std": 0, "min": 6, "median": 6, "max": 6}
    assert info["measures"]["success_share"]["mean"] == 0.25
    rewards = next(array for array in info["arrays"] if array["name"] == "rewards")
    assert rewards | {"stored": 0} == {
        "name": "rewards", "dtype": "float32", "shape": [4], "min": 0, "max": 3, "bytes": 16, "stored": 0,
        "compression": "none",
    }  # fmt: skip
    assert info["content_hash"].startswith("sha256:")


def test_info_of_a_file_by_others(dataset: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]
        del file["infos"], file["episodes"]
    result = run("info", dataset)
    assert result.exit_code == 0
    assert "D4RL-flat, not written by awac-tr" in result.stdout
    assert "action bounds taken as [-1, 1]" in result.stderr
    assert json.loads(run("info", dataset, "--json").stdout)["format_version"] is None
    assert run("validate", dataset).exit_code == 0


def test_validate_says_sound(dataset: Path) -> None:
    result = run("validate", dataset)
    assert (result.exit_code, result.stdout) == (0, f"{dataset}: sound\n")
    assert json.loads(run("validate", dataset, "--json").stdout) == {"path": str(dataset), "findings": []}


def test_validate_lists_findings(dataset: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        file["actions"][2] = np.nan
        del file["terminals"].attrs["sha256"]
    result = run("validate", dataset)
    assert result.exit_code == 1
    assert "error not-finite: actions: 1 row with NaN or infinite numbers, first row 2" in result.stdout
    assert result.stdout.endswith(f"{dataset}: 3 errors\n")
    found = json.loads(run("validate", dataset, "--json").stdout)["findings"]
    assert [(f["severity"], f["code"], f["where"]) for f in found] == [
        ("error", "not-finite", "actions"),
        ("error", "hash", "actions"),
        ("error", "hash", "terminals"),
    ]
    assert all(f["remedy"] for f in found)


def test_a_file_without_terminals(dataset: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        del file["terminals"]
    result = run("info", dataset)
    assert result.exit_code == 2
    assert "terminals: missing: without it the end of a task cannot be told from a cut" in result.stderr
    result = run("validate", dataset)
    assert result.exit_code == 1
    assert "error missing-array: terminals" in result.stdout


@pytest.mark.parametrize("verb", ["info", "validate"])
def test_what_cannot_be_read(dataset: Path, verb: str) -> None:
    dataset.write_bytes(dataset.read_bytes()[:-1000])
    result = run(verb, dataset)
    assert result.exit_code == 2
    assert "mine.hdf5 is truncated" in result.stderr
    result = run(verb, "mnie")
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr
    assert "Traceback" not in result.output


def test_list(dataset: Path) -> None:
    (dataset.parent / "broken.hdf5").write_text("no")
    (dataset.parent / "card.yaml").write_text("no")
    result = run("list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["broken", "mine"]
    assert "is no HDF5 file" in lines[2]
    entries = json.loads(run("list", dataset.parent, "--json").stdout)
    assert [(entry["name"], entry["episodes"], entry["transitions"]) for entry in entries] == [
        ("broken", None, None),
        ("mine", 1, 4),
    ]
    assert entries[1]["problem"] == ""


def test_list_of_nothing(tmp_path: Path) -> None:
    assert run("list", tmp_path / "none").exit_code == 2
    (tmp_path / "empty").mkdir()
    result = run("list", tmp_path / "empty")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'empty'}: no datasets; awac-tr collect makes one\n")


def test_import_says_what_it_changed(tmp_path: Path) -> None:
    source = pickled(tmp_path / "a.pickle")
    result = run("import", source, "--env", "door-binary-v0", "--out", "human", "--licence", "Apache-2.0")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{tmp_path / 'datasets' / 'human.hdf5'}: 1 episodes, 4 transitions, sha256:")
    assert "112 action entries clipped" in result.stderr
    assert run("validate", "human").exit_code == 0
    assert json.loads(run("info", "human", "--json").stdout)["meta"]["licence"] == "Apache-2.0"


def test_import_replaces_only_with_force(tmp_path: Path) -> None:
    source = pickled(tmp_path / "a.pickle")
    arguments = ("import", source, "--env", "door-binary-v0", "--out", tmp_path / "a.hdf5")
    assert run(*arguments).exit_code == 0
    before = (tmp_path / "a.hdf5").stat().st_mtime_ns
    result = run(*arguments)
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert "--force" in result.stderr
    assert (tmp_path / "a.hdf5").stat().st_mtime_ns == before
    result = run(*arguments, "--force", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["episodes"], report["transitions"], report["clipped"], report["dropped"]) == (1, 4, 112, 1)


class Runs:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("source", "env", "message"),
    [
        ({"extra": Runs()}, "door-binary-v0", "it asks for posix.system; nothing of it was run"),
        ({"env_sizes": (45, 24)}, "door-binary-v0", "door-binary-v0 has 39 and 28"),
        ({}, "dor-binary-v0", "door-binary-v0"),
        ({}, "Pendulum-v1", "no reward rule"),
    ],
)
def test_import_refuses_in_one_message(tmp_path: Path, source: dict[str, Any], env: str, message: str) -> None:
    result = run("import", pickled(tmp_path / "a.pickle", **source), "--env", env, "--out", "a.hdf5")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert names(tmp_path) == ["a.pickle"]


def test_import_on_a_full_disk(tmp_path: Path) -> None:
    pickled(tmp_path / "a.pickle")
    script = (
        "import resource, sys; from awac_tr.cli.main import main; import awac_tr.envs\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "main(sys.argv[1:])"
    )
    line = ["data", "import", "a.pickle", "--env", "door-binary-v0", "--out", "a.hdf5"]
    done = subprocess.run(
        [sys.executable, "-c", script, *line], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert "a.hdf5 cannot be written: File too large; the unfinished file was removed" in done.stderr
    assert names(tmp_path) == ["a.pickle"]


@pytest.mark.parametrize("verb", ["", "info", "validate", "import", "list"])
def test_help_ends_in_examples(verb: str) -> None:
    result = run(*filter(None, [verb]), "--help")
    assert result.exit_code == 0
    assert result.stdout.split("Examples:")[1].strip().startswith("awac-tr data")
