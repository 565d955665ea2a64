"""Evaluation and collection in other processes: the same numbers, in the same order, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stopping import Stopping

from awac_tr.collectors.episodes import rollouts
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import AwacError
from awac_tr.policies.checkpoint import read_checkpoint
from awac_tr.policies.noise import RandomController
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.recipes.schema import EnvSection
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

Tiny = Callable[..., LoadedRecipe]
SWING = (
    "env.id=Pendulum-v1",
    "checkpoint.measure=return",
    "eval.every=5",
    "algorithm.policy_lr=0.03",
    "algorithm.temperature=10.0",
    "seed=1",
)
"""A task whose return depends on every action, and a seed with which the best policy is not the first."""
BACKGROUND = ("eval.background=true", "eval.workers=2")
TIMES = ("wall", "seconds")


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "wall"} for row in read_rows(run)]


def best_of(run: Path) -> dict[str, Any]:
    content = read_checkpoint(run / "checkpoints" / "best.pt", kind="train")
    content["progress"] = {key: value for key, value in content["progress"].items() if key not in TIMES}
    del content["recipe"]
    return content


def require_equal(one: Any, other: Any, where: str = "") -> None:
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            require_equal(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            require_equal(*pair, f"{where}/{index}")
    else:
        assert one == other, where


@pytest.fixture(scope="session")
def swing(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Settings for the pendulum, and random play of it."""
    path = tmp_path_factory.mktemp("swing") / "swing.hdf5"
    meta = DatasetMeta("Pendulum-v1", "random", [-2.0], [2.0], horizon=25, licence="CC0-1.0")
    play = partial(RandomController, -2 * np.ones(1), 2 * np.ones(1))
    with DatasetWriter(path, meta) as writer:
        for episode in rollouts(EnvSection(id="Pendulum-v1", horizon=25), play, range(4)):
            writer.append(episode)
        writer.finish()
    return (*SWING, f"data.datasets=[{path}]", "algorithm.value_bounds=[null,null]")


def test_the_background_changes_no_number_no_row_and_no_checkpoint(
    tiny: Tiny, swing: tuple[str, ...], tmp_path: Path
) -> None:
    ahead = train(tiny(*swing), run_dir=tmp_path / "foreground", quiet=True)
    behind = train(tiny(*swing, *BACKGROUND), run_dir=tmp_path / "background", quiet=True)
    assert rows_of(behind) == rows_of(ahead)
    assert [row["wall"] for row in read_rows(behind)] == sorted(row["wall"] for row in read_rows(behind))
    best = best_of(behind)
    assert best["progress"]["update"] > 0
    assert len({row["return"] for row in rows_of(ahead) if row["event"] == "eval"}) > 1
    require_equal(best, best_of(ahead))


def test_a_run_stopped_while_it_evaluates_loses_nothing(
    tiny: Tiny, swing: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tiny(*swing, "online.steps=0"), run_dir=tmp_path / "whole", quiet=True)
    monkeypatch.setattr("awac_tr.training.train.Interruption", Stopping)
    monkeypatch.setattr(Stopping, "remaining", 3)
    with pytest.raises(TrainingInterrupted):
        train(tiny(*swing, *BACKGROUND, "online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    stopped = rows_of(tmp_path / "run")
    assert stopped[-1]["event"] == "train"  # behind the evaluation that was under way
    assert stopped == rows_of(whole)[: len(stopped)]
    run = train(load_recipe(tmp_path / "run" / "recipe.yaml"), resume=tmp_path / "run", quiet=True)
    assert rows_of(run) == rows_of(whole)
    require_equal(best_of(run)["learner"], best_of(whole)["learner"])


def test_an_evaluation_under_way_when_training_diverges_is_kept(tiny: Tiny, tmp_path: Path) -> None:
    rows = []
    for background in ("false", "true"):
        run = tmp_path / background
        with pytest.raises(AwacError, match="diverged"):
            train(tiny("algorithm.qvalue_lr=1.0e+30", f"eval.background={background}"), run_dir=run, quiet=True)
        rows.append(rows_of(run))
    assert rows[0] == rows[1]
    assert rows[1][0]["event"] == "eval"


def test_collecting_ahead_repeats_and_goes_on_after_a_stop(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("collect.async=true", "eval.every=0", "policy.log_std_max=2.0")
    first, second = (train(tiny(*settings), run_dir=tmp_path / name, quiet=True) for name in "ab")
    assert rows_of(first) == rows_of(second)
    synchronous = rows_of(train(tiny(*settings, "collect.async=false"), run_dir=tmp_path / "c", quiet=True))
    rounds = [[row for row in rows if row["event"] == "round"] for rows in (rows_of(first), synchronous)]
    assert [(row["update"], row["env_step"], row["steps"]) for row in rounds[0]] == [
        (row["update"], row["env_step"], row["steps"]) for row in rounds[1]
    ]
    monkeypatch.setattr("awac_tr.training.train.Interruption", Stopping)
    monkeypatch.setattr(Stopping, "remaining", 12)
    with pytest.raises(TrainingInterrupted):
        train(tiny(*settings), run_dir=tmp_path / "run", quiet=True)
    stopped = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["progress"]["env_step"]
    assert 0 < stopped < 50
    run = train(load_recipe(tmp_path / "run" / "recipe.yaml"), resume=tmp_path / "run", quiet=True)
    assert (rows_of(run)[-1]["update"], rows_of(run)[-1]["env_step"]) == (45, 50)
    parts = sorted((run / "checkpoints" / "online").glob("*.pt"))
    assert sum(len(torch.load(path, weights_only=True)["action"]) for path in parts) == 50
