"""Every state that a kill can leave a run folder in goes on, and no file of the user's is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from awac_tr.errors import AwacError
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.training.metrics import read_rows
from awac_tr.training.run_folder import RunFolder
from awac_tr.training.train import train

Tiny = Callable[..., LoadedRecipe]
SHORT = ("online.steps=0", "offline.updates=10", "eval.every=5", "checkpoint.every=5")


def rows(run: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "wall"} for row in read_rows(run)]


@pytest.fixture
def whole(tiny: Tiny, tmp_path: Path) -> Path:
    return train(tiny(*SHORT), run_dir=tmp_path / "whole", quiet=True)


@pytest.mark.parametrize(
    ("there", "resumes"),
    [
        ("", False),
        ("lock", False),
        ("lock checkpoints/", False),
        ("lock checkpoints/ recipe.yaml.part", False),
        ("lock checkpoints/ recipe.yaml=", False),
        ("lock checkpoints/ recipe.yaml", True),
        ("lock checkpoints/ recipe.yaml record.json.part", True),
        ("lock checkpoints/ recipe.yaml record.json=", True),
        ("lock checkpoints/ recipe.yaml record.json metrics.jsonl.part", True),
        ("lock checkpoints/ recipe.yaml record.json metrics.jsonl=", True),
        ("checkpoints/ recipe.yaml record.json metrics.jsonl checkpoints/best.pt.part", True),
        ("checkpoints/ recipe.yaml record.json metrics.jsonl checkpoints/best.pt checkpoints/next.pt=", True),
        ("checkpoints/ recipe.yaml record.json metrics.jsonl checkpoints/best.pt checkpoints/previous.pt", True),
        ("checkpoints/ recipe.yaml metrics.jsonl checkpoints/best.pt checkpoints/last.pt summary.json.part", True),
    ],
)
def test_what_a_kill_leaves_goes_on(whole: Path, tiny: Tiny, tmp_path: Path, there: str, resumes: bool) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in there.split():
        if name.endswith("/"):
            (run / name).mkdir()
        elif (whole / name).is_file():
            shutil.copy(whole / name, run / name)
        else:  # empty, or half of what it was to be
            (run / name.removesuffix("=")).write_bytes(b"" if name.endswith("=") else b"half")
    if resumes:
        with pytest.raises(AwacError, match=f"go on with it by awac-tr train --resume {run}"):
            train(tiny(*SHORT), run_dir=run, quiet=True)
        train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    else:
        with pytest.raises(AwacError, match=f"begin there with awac-tr train RECIPE --run {run}"):
            RunFolder(run).require_run()
        train(tiny(*SHORT), run_dir=run, quiet=True)
    assert rows(run) == rows(whole)
    assert json.loads((run / "record.json").read_text())["ended_by"] is None
    assert (run / "curve.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["notes.txt", "checkpoints/mine.pt", "record.json", "metrics.jsonl", "recipe.yaml"])
def test_files_of_the_users_are_never_written_over(tiny: Tiny, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "run" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine: 1\n")
    with pytest.raises(AwacError, match="is not empty"):
        train(tiny(*SHORT), run_dir=tmp_path / "run", quiet=True)
    with pytest.raises(AwacError, match="no run folder"):
        RunFolder(tmp_path / "run").require_run()
    assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine: 1\n"


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Let the system refuse to give a file its name, the first time."""
    replace = Path.replace

    def refuse_once(old: Path, new: Path) -> Path:
        if new.name == name:
            monkeypatch.setattr(Path, "replace", replace)
            raise OSError(number, os.strerror(number))
        return replace(old, new)

    monkeypatch.setattr(Path, "replace", refuse_once)


@pytest.mark.parametrize(
    ("name", "number", "remedy"),
    [
        ("recipe.yaml", errno.ENOSPC, "Make room"),
        ("record.json", errno.EDQUOT, "quota"),
        ("metrics.jsonl", errno.EROFS, "read-only"),
        ("best.pt", errno.ENOSPC, "Make room"),
        ("next.pt", errno.EMFILE, "ulimit -n"),
        ("last.pt", errno.EIO, "dmesg"),
        ("summary.json", errno.EACCES, "permissions"),
        ("curve.png", errno.ENOSPC, "Make room"),
    ],
)
def test_a_file_that_cannot_be_written_stops_the_run_with_the_command_to_go_on(
    whole: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, remedy: str
) -> None:
    run = tmp_path / "run"
    failing(monkeypatch, name, number)
    with pytest.raises(AwacError, match=os.strerror(number)) as caught:
        train(tiny(*SHORT), run_dir=run, quiet=True)
    assert remedy in caught.value.hint
    assert not list(run.rglob("*.part"))
    if name == "recipe.yaml":
        assert caught.value.hint.endswith(f"awac-tr train RECIPE --run {run}")
        train(tiny(*SHORT), run_dir=run, quiet=True)
    else:
        assert caught.value.hint.endswith(f"awac-tr train --resume {run}")
        train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert rows(run) == rows(whole)
