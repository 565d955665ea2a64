"""Whoever meets a file that is no dataset yet is told what it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.collect import collect, plan
from awac_tr.data.statistics.statistics import list_datasets
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import EnvSection
from awac_tr.utils.locks import file_lock


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def partial() -> Path:
    """What an interrupted collection leaves in the folder of datasets."""

    def interrupt(progress: Any) -> None:
        if progress.episodes == 2:
            raise KeyboardInterrupt

    out = Path("datasets/play.hdf5")
    with pytest.raises(KeyboardInterrupt):
        collect(plan("random", env=EnvSection(id="Pendulum-v1", horizon=5), n=9, out=out), on_episode=interrupt)
    return Path("datasets/play.hdf5.partial")


@pytest.mark.parametrize("name", ["play", "datasets/play.hdf5", "datasets/play.hdf5.partial"])
@pytest.mark.parametrize("verb", ["info", "validate"])
def test_an_unfinished_collection_is_named(partial: Path, verb: str, name: str) -> None:
    result = run("data", verb, name)
    assert result.exit_code == 2
    said = f"{partial} is an unfinished collection: 2 of 9 episodes of random in Pendulum-v1"
    assert said in result.stderr.replace(str(partial.resolve()), str(partial))
    assert "--resume" in result.stderr


def test_the_list_shows_what_is_unfinished(partial: Path, make_episode: Any, make_meta: Any) -> None:
    with DatasetWriter("datasets/made.hdf5", make_meta()) as writer:
        writer.append(make_episode())
        Path("datasets/dead.hdf5.part").write_bytes(b"x")
        problems = {entry["name"]: entry["problem"] for entry in list_datasets("datasets")}
        writer.finish()
    assert sorted(problems) == ["dead.hdf5", "made.hdf5", "play.hdf5"]
    assert "2 of 9 episodes of random" in problems["play.hdf5"]
    assert f"is being written by process {os.getpid()} on" in problems["made.hdf5"]
    assert "what a process that was killed left" in problems["dead.hdf5"]
    listed = json.loads(run("data", "list", "--json").stdout)
    assert [(entry["name"], bool(entry["problem"])) for entry in listed] == [
        ("dead.hdf5", True),
        ("made", False),
        ("play.hdf5", True),
    ]


def test_one_that_is_at_work_is_named(partial: Path) -> None:
    with file_lock(Path("datasets/play.hdf5")), file_lock(Path("datasets/other.hdf5")):
        with pytest.raises(DatasetError, match=f"at which process {os.getpid()} on .* is at work"):
            open_dataset("datasets/play.hdf5")
        with pytest.raises(DatasetError, match=r"no dataset datasets/other.hdf5 yet: it is being written by process"):
            open_dataset("datasets/other.hdf5")
    with pytest.raises(DatasetError, match=r"there is no dataset datasets/other\.hdf5\n"):
        open_dataset("datasets/other.hdf5")


def test_a_damaged_one_is_called_damaged(partial: Path) -> None:
    partial.write_bytes(b"nonsense" * 10)
    with pytest.raises(DatasetError, match="no unfinished collection of awac-tr"):
        open_dataset("datasets/play.hdf5")
    result = run("collect", "--source", "random", "--env", "Pendulum-v1", "--out", "datasets/play.hdf5", "--resume")
    assert result.exit_code == 2
    assert "remove it, or start anew with --force" in result.stderr
    partial.write_bytes(b"")
    with pytest.raises(DatasetError, match="an unfinished collection without an episode"):
        open_dataset("datasets/play.hdf5")
