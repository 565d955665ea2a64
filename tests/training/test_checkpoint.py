"""A checkpoint that cannot be read costs an interval, not a run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from awac_tr.errors import AwacError, CheckpointError
from awac_tr.policies.checkpoint import read_checkpoint
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

Tiny = Callable[..., LoadedRecipe]


def outcome(run: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Rows without the clock, and the learner's tensors."""
    rows = [{name: value for name, value in row.items() if name != "wall"} for row in read_rows(run)]
    return rows, read_checkpoint(run / "checkpoints" / "last.pt")["learner"]["loss"]


def same(run: Path, expected: Path) -> bool:
    (rows, tensors), (others, wanted) = outcome(run), outcome(expected)
    return rows == others and all(torch.equal(tensors[name], wanted[name]) for name in wanted)


@pytest.fixture
def whole(tiny: Tiny, tmp_path: Path) -> Path:
    return train(tiny("online.steps=0"), run_dir=tmp_path / "whole", quiet=True)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def test_the_one_before_is_used_and_this_is_said(
    whole: Path, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    previous = read_checkpoint(run / "checkpoints" / "previous.pt")
    assert previous["progress"]["update"] == 15
    damage(run / "checkpoints" / "last.pt")
    with caplog.at_level(logging.WARNING, "awac_tr"):
        train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert "last.pt is damaged" in caplog.text or "last.pt is truncated" in caplog.text
    assert "previous.pt" in caplog.text
    assert json.loads((run / "record.json").read_text())["resumed"][0]["update"] == 15
    assert same(run, whole)


def test_killed_between_two_renames(whole: Path, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    (run / "checkpoints" / "last.pt").unlink()
    with caplog.at_level(logging.WARNING, "awac_tr"):
        train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert "last.pt is missing. Going on from" in caplog.text
    assert same(run, whole)


def test_killed_before_the_first_checkpoint(
    whole: Path, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    (run / "summary.json").unlink()
    for name in ("last.pt", "previous.pt"):
        (run / "checkpoints" / name).unlink()
    train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert "begins anew" in caplog.text
    assert same(run, whole)


@pytest.mark.parametrize(
    ("left", "damaged", "counted"), [(5, False, None), (6, False, None), (6, True, None), (2, False, 2), (3, True, 2)]
)
def test_rows_that_are_lost_are_said(
    whole: Path,
    tiny: Tiny,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    left: int,
    damaged: bool,
    counted: int | None,
) -> None:
    """As by a power cut. The checkpoint before knows five rows: where those are there nothing is lost."""
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert read_checkpoint(run / "checkpoints" / "previous.pt")["metrics_rows"] == 5
    last = ["\0" * 80 + "\n", lines[-1]] if damaged else []
    (run / "metrics.jsonl").write_text("".join(lines[: left - damaged] + last))
    train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    there = left - damaged
    assert (
        f"of the {len(lines)} rows of metrics before {run / 'checkpoints' / 'last.pt'}, {there} are left" in caplog.text
    )
    assert len(read_rows(run)) == (counted or len(lines))
    assert counted or same(run, whole)


def test_what_a_checkpoint_counts_on_is_on_the_disk_before_it(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(fd: int) -> None:
        fsync(fd)
        events.append(("sync", Path(f"/proc/self/fd/{fd}").readlink().name))

    def noted_replace(old: Path, new: Path) -> Path:
        events.append(("name", new.name))
        return replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    run = train(tiny("eval.background=true"), run_dir=tmp_path / "run", quiet=True)
    named = [number for number, (what, _) in enumerate(events) if what == "name"]
    for before, number in zip([0, *named], named, strict=False):
        name = events[number][1]
        if name in ("next.pt", "best.pt"):
            assert ("sync", "metrics.jsonl") in events[before:number], name
        if name not in ("last.pt", "previous.pt"):
            assert events[number - 1] == ("sync", f"{name}.part")
        assert events[number + 1] in [("sync", one) for one in ("run", "checkpoints", "online")], name
    assert {events[number][1] for number in named} >= {path.name for path in (run / "checkpoints").iterdir()} - {
        "online"
    }


def test_a_best_checkpoint_that_is_gone_is_made_anew(
    tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(tiny("online.steps=20"), run_dir=tmp_path / "run", quiet=True)
    (run / "checkpoints" / "best.pt").unlink()
    train(load_recipe(run / "recipe.yaml", ["online.steps=40"]), resume=run, quiet=True)
    assert "best.pt is gone" in caplog.text
    assert read_checkpoint(run / "checkpoints" / "best.pt")["progress"]["env_step"] > 20


def test_a_finished_run_without_its_checkpoints_is_not_written_over(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    rows = read_rows(run)
    with pytest.raises(AwacError, match="finished run whose checkpoints are gone"):
        train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert read_rows(run) == rows


def test_two_damaged_ones_are_an_error(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    for name in ("last.pt", "previous.pt"):
        damage(run / "checkpoints" / name)
    with pytest.raises(CheckpointError, match=r"previous\.pt"):
        train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)


def test_a_missing_part_of_the_buffer_falls_back_as_well(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("checkpoint.every=100"), run_dir=tmp_path / "run", quiet=True)
    last, previous = (read_checkpoint(run / "checkpoints" / name) for name in ("last.pt", "previous.pt"))
    newest = [name for name in last["online_parts"] if name not in previous["online_parts"]]
    assert newest
    (run / "checkpoints" / "online" / newest[-1]).unlink()
    train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert read_rows(run)[-1]["env_step"] == 50
