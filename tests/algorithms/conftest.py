"""A small experiment on Pendulum, for any registered algorithm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.algorithms.registry import config_class
from awac_tr.collectors.episodes import rollouts
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.policies.controllers import RandomController
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.recipes.schema import EnvSection

ENV = EnvSection(id="Pendulum-v1", horizon=25)


class Uniform:
    """Makes the controller."""

    def __call__(self) -> RandomController:
        return RandomController(-2 * np.ones(1, np.float32), 2 * np.ones(1, np.float32))


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "play.hdf5"
    meta = DatasetMeta(
        env_id=ENV.id, env_kwargs={}, horizon=25, source="demos", policy="", seed=0, action_low=[-2.0],
        action_high=[2.0], licence="CC0-1.0", description="", parents=(), extra={},
    )  # fmt: skip
    with DatasetWriter(path, meta) as writer:
        for episode in rollouts(ENV, Uniform(), range(6)):
            writer.append(episode)
        writer.finish()
    return path


@pytest.fixture
def small(tmp_path: Path, play: Path) -> Any:
    """The default recipe of an algorithm, with small networks and phases."""

    def load(name: str, *overrides: str) -> LoadedRecipe:
        online = "0" if config_class(name)().needs().online is None else "40"  # type: ignore[call-arg]
        path = tmp_path / f"{name}.yaml"
        path.write_text(
            f"name: small\nalgorithm: {{name: {name}}}\nenv: {{id: Pendulum-v1, horizon: 25}}\n"
            f"data: {{datasets: ['{play}']}}\npolicy: {{hidden_sizes: [16]}}\nqvalue: {{hidden_sizes: [16]}}\n"
            "offline: {updates: 20, batch_size: 32}\n"
            f"online: {{steps: {online}, batch_size: 32, steps_per_round: 20, updates_per_step: 1}}\n"
            "eval: {every: 0, episodes: 2}\nlog: {every: 5}\ncheckpoint: {every: 7, measure: return}\n",
            encoding="utf-8",
        )
        return load_recipe(path, overrides)

    return load
