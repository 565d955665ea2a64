"""A run's online episodes as a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from awac_tr.cli.main import main
from awac_tr.collectors.workers import LocalWorker
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError
from awac_tr.recipes.loader import LoadedRecipe
from awac_tr.training.run_dataset import dataset_from_run
from awac_tr.training.train import train

Tiny = Callable[..., LoadedRecipe]


def collected(run: Path) -> dict[str, torch.Tensor]:
    """Every online row of a run, as it lies on disk."""
    parts = [torch.load(path, weights_only=True) for path in sorted((run / "checkpoints" / "online").glob("*.pt"))]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def test_it_holds_what_the_environment_did(tiny: Tiny, tmp_path: Path, random_play: Path) -> None:
    run = train(tiny("algorithm.reward_scale=10"), run_dir=tmp_path / "run", quiet=True)
    made = dataset_from_run(run, tmp_path / "prior.hdf5")
    rows = collected(run)
    with open_dataset(made.path) as dataset, open_dataset(random_play) as parent:
        for name, key in (("observations", "observation"), ("actions", "action"), ("rewards", "next/reward")):
            assert (dataset.rows(name) == rows[key].reshape(dataset.shape(name)).numpy()).all(), name
        assert dataset.episodes.lengths.tolist() == [25, 25]
        assert [(each.name, each.hash) for each in dataset.meta.parents] == [("play.hdf5", parent.content_hash)]
        assert dataset.meta.env == parent.meta.env
        made_by = dataset.meta.extra["made_by"]
    assert made_by["algorithm"] == "awac"
    assert made_by["env_step"] == made.env_step == made.transitions == 50
    assert not [found for found in validate(made.path) if found.severity == "error"]


def test_episodes_of_several_environments_are_put_together(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds of 20 steps are 10 of each environment, so that an episode of 25 lies in three of them."""

    def local_worker(_count: int, *args: Any) -> LocalWorker:
        return LocalWorker(*args)

    monkeypatch.setattr("awac_tr.collectors.online.Workers", local_worker)
    run = train(tiny("collect.workers=2", "online.steps=105"), run_dir=tmp_path / "run", quiet=True)
    made = dataset_from_run(run, tmp_path / "prior.hdf5")
    with open_dataset(made.path) as dataset:
        assert sorted(dataset.episodes.lengths.tolist()) == [2, 3, 25, 25, 25, 25]
        for episode in map(dataset.episode, range(dataset.n_episodes)):
            assert (episode.observations[1:] == episode.next_observations[:-1]).all()
    assert made.cut == 2


def test_awac_starts_from_the_buffer_of_another_run(tiny: Tiny, tmp_path: Path, recipe_file: Path) -> None:
    run = train(tiny(), run_dir=tmp_path / "run", quiet=True)
    made = CliRunner().invoke(main, ["data", "from-run", str(run), "--out", str(tmp_path / "prior.hdf5")])
    assert made.exit_code == 0, made.output
    assert "2 episodes, 50 transitions of 50 environment steps" in made.stdout
    train(tiny(f"data.datasets=[{tmp_path / 'prior.hdf5'}]", "online.steps=0"), run_dir=tmp_path / "next", quiet=True)


def test_nothing_was_collected(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    with pytest.raises(DatasetError, match="collected nothing online"):
        dataset_from_run(run, tmp_path / "prior.hdf5")
    assert not (tmp_path / "prior.hdf5").exists()
    result = CliRunner().invoke(main, ["data", "from-run", str(tmp_path), "--out", str(tmp_path / "prior.hdf5")])
    assert result.exit_code == 2
    assert "is no run folder" in result.stderr
