"""``seed`` fixes everything: two runs of every shipped recipe, shortened, are the same to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from awac_tr.collect import collect, plan
from awac_tr.envs.env_info import env_info
from awac_tr.errors import EnvError
from awac_tr.policies.checkpoint import read_checkpoint
from awac_tr.recipes.library import recipes
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import EnvSection
from awac_tr.training.metrics import read_rows
from awac_tr.training.reproducibility import deterministic_algorithms
from awac_tr.training.train import train

SHORT = (
    "env.horizon=15",
    "offline.updates=4",
    "offline.batch_size=32",
    "online.steps=20",
    "online.steps_per_round=10",
    "online.batch_size=32",
    "eval.episodes=1",
    "eval.every=0",
    "log.every=2",
    "log.csv=false",
    "threads=1",
    "deterministic=true",
)


def outcome(run: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    rows = [{name: value for name, value in row.items() if name != "wall"} for row in read_rows(run)]
    return rows, read_checkpoint(run / "checkpoints" / "last.pt")["learner"]["loss"]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A little random play of each task, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("play")

    class Made(dict[str, Path]):
        def __missing__(self, env_id: str) -> Path:
            env = EnvSection(id=env_id, horizon=15, kwargs=KWARGS[env_id])
            self[env_id] = collect(plan("random", env=env, n=3, seed=0, out=folder / f"{env_id}.hdf5")).path
            return self[env_id]

    return Made()


KWARGS: dict[str, dict[str, Any]] = {}


@pytest.mark.parametrize("name", sorted(recipes()))
def test_two_runs_of_a_shipped_recipe_are_equal(name: str, datasets: dict[str, Path], tmp_path: Path) -> None:
    env = load_recipe(name).recipe.env
    KWARGS[env.id] = env.kwargs
    try:
        env_info(env)
    except EnvError as error:
        if "pip install" in str(error):
            pytest.skip(f"{env.id} cannot be made here: {error.message}")
        raise
    recipe = load_recipe(name, [*SHORT, f"data.datasets=[{datasets[env.id]}]"])
    first, second = (outcome(train(recipe, run_dir=tmp_path / run, quiet=True)) for run in "ab")
    assert first[0] == second[0]
    assert all(torch.equal(value, second[1][key]) for key, value in first[1].items())
    other = outcome(train(load_recipe(name, [*SHORT, "seed=7", f"data.datasets=[{datasets[env.id]}]"]), quiet=True))
    assert other[0] != first[0]


def test_torch_is_asked_and_released() -> None:
    with deterministic_algorithms(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic_algorithms(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
