"""A tiny experiment on the real door: a dataset of random play, and a recipe that trains in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from awac_tr.collectors.episodes import rollouts
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.policies.controllers import RandomController
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.recipes.schema import EnvSection

TEMPLATE = """
name: tiny
env: {{id: door-binary-v0, horizon: 25}}
data: {{datasets: ["{dataset}"]}}
policy: {{hidden_sizes: [8]}}
qvalue: {{hidden_sizes: [8]}}
algorithm: {{value_bounds: reward_range}}
offline: {{updates: 20, batch_size: 16}}
online: {{steps: 50, batch_size: 16, steps_per_round: 20, updates_per_step: 0.5}}
eval: {{every: 10, episodes: 2}}
log: {{every: 5}}
checkpoint: {{every: 15}}
"""


class Uniform:
    """Makes the controller; picklable."""

    def __call__(self) -> RandomController:
        return RandomController(-np.ones(28, np.float32), np.ones(28, np.float32))


def write_random_play(path: Path) -> Path:
    """Four episodes of 25 steps."""
    meta = DatasetMeta(
        env_id="door-binary-v0",
        env_kwargs={},
        horizon=25,
        source="random",
        policy="",
        seed=0,
        action_low=[-1.0] * 28,
        action_high=[1.0] * 28,
        licence="CC0-1.0",
        description="",
        parents=(),
        extra={},
    )
    with DatasetWriter(path, meta) as writer:
        for episode in rollouts(EnvSection(id="door-binary-v0", horizon=25), Uniform(), range(4)):
            writer.append(episode)
        writer.finish()
    return path


@pytest.fixture(scope="session")
def random_play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset, written once."""
    return write_random_play(tmp_path_factory.mktemp("data") / "play.hdf5")


@pytest.fixture
def recipe_file(tmp_path: Path, random_play: Path) -> Path:
    """The recipe as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TEMPLATE.format(dataset=random_play), encoding="utf-8")
    return path


@pytest.fixture
def tiny(recipe_file: Path) -> Callable[..., LoadedRecipe]:
    """The recipe, with overrides."""
    return lambda *overrides: load_recipe(recipe_file, overrides)
