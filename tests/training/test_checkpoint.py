"""A checkpoint that cannot be read costs an interval, not a run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from awac_tr.errors import CheckpointError
from awac_tr.policies.checkpoint import read_checkpoint
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.training.loop import train
from awac_tr.training.metrics import read_rows

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


def test_killed_between_two_renames(whole: Path, tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    (run / "checkpoints" / "last.pt").unlink()
    train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert same(run, whole)


def test_killed_before_the_first_checkpoint(
    whole: Path, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    for name in ("last.pt", "previous.pt"):
        (run / "checkpoints" / name).unlink()
    train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert "begins anew" in caplog.text
    assert same(run, whole)


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
