"""``awac-tr data merge``, ``split`` and ``filter`` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Datasets one and two, of episodes of 1 to 4 steps with rewards 0."""
    for name, lengths in (("one", (1, 2, 3)), ("two", (4,))):
        with DatasetWriter(tmp_path / "datasets" / f"{name}.hdf5", DatasetMeta("", "ou", [-1], [1])) as writer:
            for steps in lengths:
                states, last = np.arange(2 * steps + 2, dtype=np.float32).reshape(-1, 2), np.arange(steps) == steps - 1
                columns = np.zeros((steps, 1), np.float32), np.zeros(steps, np.float32)
                infos = {"success": last & (steps > 2)}
                writer.append(Episode(states[:-1], *columns, states[1:], last & False, last, infos, steps))
            writer.finish()
    return tmp_path / "datasets"


def test_merge_by_name(folder: Path) -> None:
    result = run("merge", "one", "two", "--out", "all")
    assert result.exit_code == 0, result.output
    assert "all.hdf5: 4 episodes, 10 transitions, sha256:" in result.stdout
    again = run("merge", "one", "two", "--out", "all")
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    twice = run("merge", "one", "one", "--out", "all", "--force", "--json")
    assert "3 of 3 episodes were met before: kept" in twice.stderr
    report = json.loads(twice.stdout)
    assert [entry["duplicates"] for entry in report["inputs"]] == [0, 3]
    assert run("merge", "one", "--out", "x").exit_code == 2


def test_split_says_what_it_made(folder: Path) -> None:
    result = run("split", "one", "--parts", "train=0.67,valid=0.33")
    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["train", "valid"]
    assert {path.name for path in folder.iterdir()} >= {"one-train.hdf5", "one-valid.hdf5"}
    told = json.loads(run("split", "one", "--parts", "a=0.5", "--out", str(folder / "{part}.h5"), "--json").stdout)
    assert (told["a"]["episodes"], told["a"]["path"]) == (1, str(folder / "a.h5"))
    wrong = run("split", "one", "--parts", "train")
    assert (wrong.exit_code, "train=0.9,valid=0.1" in wrong.stderr) == (2, True)


def test_filter_shows_what_is_kept(folder: Path) -> None:
    dry = run("filter", "one", "--where", "length >= 2 and not success_any", "--dry-run")
    assert dry.exit_code == 0, dry.output
    for expected in ("nothing was written", "1", "3", "mean length"):
        assert expected in dry.stdout
    result = run("filter", "one", "--where", "success_any", "--out", "good", "--json")
    report = json.loads(result.stdout)
    assert (report["episodes"], report["transitions"], report["measures"]["success_any"][0]) == ([1, 3], [3, 6], 1)
    with open_dataset(folder / "good.hdf5") as dataset:
        assert dataset.content_hash == report["made"]["content_hash"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--where", "return > 3", "--dry-run"), "no episode of"),
        (("--where", "colour", "--dry-run"), "no column 'colour'"),
        (("--dry-run", "--out", "x"), "--dry-run to make none"),
        ((), "--dry-run to make none"),
        (("--top-fraction", "0", "--dry-run"), "0<x<=1"),
    ],
)
def test_what_cannot_be_chosen_exits_with_2(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run("filter", "one", *arguments)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert {path.name for path in folder.iterdir()} == {"one.hdf5", "two.hdf5"}
