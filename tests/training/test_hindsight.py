"""Runs that relabel: what they learn, and that stopping in the middle changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stopping import Stopping

from awac_tr.collectors.episodes import rollouts
from awac_tr.collectors.workers import LocalWorker
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import RecipeError
from awac_tr.policies.checkpoint import read_checkpoint
from awac_tr.policies.controllers import OUController
from awac_tr.recipes.checks import unused_keys
from awac_tr.recipes.loader import load_recipe
from awac_tr.training.experiment_setup import prepare
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

RECIPE = """
name: walk
env: {{id: "{env}"}}
data: {{datasets: ["{data}"]}}
policy: {{hidden_sizes: [64, 64], std: dependent}}
qvalue: {{hidden_sizes: [64, 64]}}
algorithm: {{temperature: 0.3, gamma: 0.95, value_bounds: [-20, 0], weight_max: 20, tau: 0.02,
  policy_lr: 1e-3, qvalue_lr: 1e-3}}
hindsight: {{kept: 0.2, fresh: 0.5, future: 0.3}}
offline: {{updates: 600, batch_size: 256}}
eval: {{every: 0, episodes: 40}}
log: {{every: 200}}
"""


class Wandering:
    """Makes the controller; picklable."""

    def __call__(self) -> OUController:
        return OUController(-np.ones(2, np.float32), np.ones(2, np.float32))


@pytest.fixture
def recipe(tmp_path: Path, goal_point: str) -> Path:
    """Sixty walks of noise, and a recipe."""
    meta = DatasetMeta("GoalPoint-v0", "ou", [-1, -1], [1, 1], horizon=30)
    with DatasetWriter(tmp_path / "walks.hdf5", meta) as writer:
        for episode in rollouts(goal_point, Wandering(), range(60)):
            writer.append(episode)
        writer.finish()
    path = tmp_path / "walk.yaml"
    path.write_text(RECIPE.format(env=goal_point, data=tmp_path / "walks.hdf5"))
    return path


def test_relabelled_noise_teaches_to_reach_goals(recipe: Path, tmp_path: Path) -> None:
    run = train(load_recipe(recipe), run_dir=tmp_path / "run", quiet=True)
    first, last = (row["success_any"] for row in read_rows(run) if row["event"] == "eval")
    assert first < 0.3
    assert last > 0.7


SHORT = ("offline.updates=4", "online.batch_size=32", "offline.batch_size=32", "eval.episodes=1", "checkpoint.every=0")
ONLINE = (*SHORT, "online.steps=120", "online.steps_per_round=40", "online.updates_per_step=0.05")


def local_worker(_count: int, *args: Any) -> LocalWorker:
    """Takes the place of a collecting process, which takes seconds to start: its environment, in this one."""
    return LocalWorker(*args)


@pytest.mark.parametrize("settings", [(), ("buffer.storage=memmap", "collect.workers=3")])
def test_stopped_and_resumed_is_the_same_run(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    """Goals, and which rows follow which, come back from the parts on disk."""
    loaded = load_recipe(recipe, [*ONLINE, *settings])
    monkeypatch.setattr("awac_tr.collectors.online.Workers", local_worker)
    whole = train(loaded, run_dir=tmp_path / "whole", quiet=True)
    monkeypatch.setattr("awac_tr.training.train.Interruption", Stopping)
    monkeypatch.setattr(Stopping, "remaining", 7)
    with pytest.raises(TrainingInterrupted):
        train(loaded, run_dir=tmp_path / "run", quiet=True)
    run = train(load_recipe(tmp_path / "run" / "recipe.yaml"), resume=tmp_path / "run", quiet=True)
    last, expected = (read_checkpoint(path / "checkpoints" / "last.pt") for path in (run, whole))
    assert len(last["online_parts"]) > 0
    assert len(expected["online_parts"]) < len(last["online_parts"])
    for name, value in expected["learner"]["loss"].items():
        assert torch.equal(value, last["learner"]["loss"][name]), name
    for parts in (run, whole):
        _check_parts(parts / "checkpoints" / "online", workers=3 if settings else 1)


def _check_parts(folder: Path, workers: int) -> None:
    """Rows of one episode follow each other, across rounds and parts, although several workers take turns."""
    parts = [torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))]
    rows = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    names = rows["episode"][:, 0]
    assert len(set((names >> 40).tolist())) == workers
    assert len(set(names.tolist())) >= 120 // 30
    assert (names[1:] != names[:-1]).sum() >= 3 * workers
    for name in set(names.tolist()):
        own = {key: value[names == name] for key, value in rows.items()}
        assert torch.equal(own["next/achieved_goal"][:-1], own["achieved_goal"][1:])
        assert torch.equal(own["next/observation"][:-1], own["observation"][1:])
        assert not own["next/done"][:-1].any()
        assert torch.equal(own["desired_goal"], own["observation"][:, -2:])


def test_cloning_leaves_goals_as_they_are(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["algorithm.name=bc"])
    rig = prepare(loaded.recipe)
    assert "desired_goal" not in set(rig.buffer.sample(4).keys())
    assert [key for key in unused_keys(loaded) if "hindsight" in key] == [
        f"hindsight.{key}" for key in ("kept", "fresh", "future")
    ]


def test_without_a_goal_environment(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="hindsight: door-binary-v0 is no goal environment"):
        train(tiny("hindsight.kept=0", "hindsight.future=1"), run_dir=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
