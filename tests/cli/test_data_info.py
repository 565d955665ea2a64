"""``awac-tr data info`` and ``list`` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.data.format.meta import DatasetMeta, Parent
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode
from awac_tr.errors import plain


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One episode of forty rows, two constant state entries, in the folder of datasets; its parent is not there."""
    path = tmp_path / "datasets" / "mine.hdf5"
    states, last = np.random.default_rng(0).normal(size=(41, 4)).astype(np.float32), np.arange(40) == 39
    states[:, 1:3] = 0.5
    actions, rewards = np.zeros((40, 2), np.float32), np.full(40, -1, np.float32)
    actions[:10, 1], rewards[30:] = 1, 0
    parents = (Parent("demos", "sha256:" + "0" * 64, "import"),)
    meta = DatasetMeta("door-binary-v0", "bc", [-1, -1], [1, 1], policy="clone", parents=parents)
    with DatasetWriter(path, meta) as writer:
        writer.append(
            Episode(states[:-1], actions, rewards, states[1:], last & False, last, {"success": rewards == 0}, 3)
        )
        writer.finish()
    return path


def test_what_people_look_for_first(dataset: Path) -> None:
    result = run("info", "mine")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for expected in (
        "-1 30 75.0%",
        "0 10 25.0%",
        "success_share 0.25 0 0.25 0.25 0.25",
        "at a bound 12.5% of all entries, most in 1 (25%)",
        "action bounds -1 below, 1 above",
    ):
        assert expected in lines
    assert any(line.startswith("observations 4 numbers, std 0 to") and line.endswith("constant: 1-2") for line in lines)
    assert any(line.endswith("demos import sha256:000000000000 (not in this folder)") for line in lines)
    assert not any("observations[1]" in line for line in lines)


def test_every_entry(dataset: Path) -> None:
    lines = [" ".join(line.split()) for line in run("info", "mine", "--dims").stdout.splitlines()]
    assert "observations[1] 0.5 0 0.5 0.5 constant" in lines
    assert "actions[1] 0.25 0.433 0 1 25.0%" in lines


def test_names_of_strangers_do_not_reach_the_terminal_or_rich(dataset: Path) -> None:
    hostile = "\x1b]0;owned\x07 [red]x[/red] [/] \x9b31m"
    with h5py.File(dataset, "r+") as file:
        file.attrs["policy"] = file.attrs["licence"] = file.attrs["env_id"] = file.attrs["source"] = hostile
        file.attrs["parents"] = json.dumps([{"name": hostile, "hash": hostile, "source": hostile}])
    for arguments in (("info", dataset), ("list",)):
        result = run(*arguments)
        assert result.exit_code == 0
        assert not [letter for letter in result.stdout if not letter.isprintable() and letter != "\n"]
        assert "[red]x[/red] [/]" in result.stdout
    assert plain("a\tb\u202e") == r"a\tb\u202e"


def test_list_shows_parents_and_filters(dataset: Path) -> None:
    (dataset.parent / "broken.hdf5").write_text("no")
    assert "demos" in run("list").stdout
    assert [entry["name"] for entry in json.loads(run("list", "--source", "bc", "--json").stdout)] == ["mine"]
    assert [entry["name"] for entry in json.loads(run("list", "--problems", "--json").stdout)] == ["broken"]
    result = run("list", "--env", "pen-binary-v0")
    assert (result.exit_code, result.stdout) == (0, f"{dataset.parent}: no datasets of that kind\n")
