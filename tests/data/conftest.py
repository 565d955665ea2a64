"""Small episodes and files to be spoiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_datasets import make_episode, make_meta, three, three_bytes, write_dataset  # noqa: F401  (fixtures)

from awac_tr.collectors.episodes import rollouts
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.env_info import EnvInfo, env_info
from awac_tr.envs.episode import episode_seeds
from awac_tr.recipes.schema import EnvSection


def bounds_of(facts: EnvInfo) -> Any:
    return np.asarray(facts.action_bounds, np.float32)


def collect(path: Path, env_id: str, make: Callable[[], Any], *, horizon: int, n: int, **about: Any) -> Path:
    """Episodes of a real environment, the last step of each at the horizon unless it ends before."""
    facts, kwargs = env_info(env_id), about.pop("kwargs", {})
    low, high = bounds_of(facts)
    meta = DatasetMeta(
        env_id=facts.id,
        source="random",
        action_low=low,
        action_high=high,
        env_kwargs=kwargs,
        horizon=horizon,
        **about,
    )
    with DatasetWriter(path, meta) as writer:
        for episode in rollouts(EnvSection(id=env_id, kwargs=kwargs, horizon=horizon), make, episode_seeds(4, n)):
            writer.append(episode)
        writer.finish()
    return path


def random_actions(env_id: str) -> Any:
    from awac_tr.policies.controllers import RandomController

    return RandomController(*bounds_of(env_info(env_id)))


def demonstrator() -> Any:
    from awac_tr import policies
    from awac_tr.policies.controllers import NoisyController, load_controller

    folder = Path(str(policies.__file__)).parent / "demonstrators"
    return NoisyController(load_controller(folder / "door.pt"), 0.1)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Sound files: doors opened a little, and tasks of others with ends, dense rewards and bounded observations."""
    folder = tmp_path_factory.mktemp("sound")
    part = {name: partial(random_actions, name) for name in ("Hopper-v5", "HalfCheetah-v5", "Pendulum-v1")}
    hinge = {"kwargs": {"hinge": 0.3}}
    return {
        "door": collect(folder / "door.hdf5", "door-binary-v0", demonstrator, horizon=60, n=9, **hinge),
        "hopper": collect(folder / "hopper.hdf5", "Hopper-v5", part["Hopper-v5"], horizon=1000, n=30),
        "short": collect(folder / "short.hdf5", "Hopper-v5", part["Hopper-v5"], horizon=8, n=30),
        "cheetah": collect(folder / "cheetah.hdf5", "HalfCheetah-v5", part["HalfCheetah-v5"], horizon=100, n=6),
        "pendulum": collect(folder / "pendulum.hdf5", "Pendulum-v1", part["Pendulum-v1"], horizon=50, n=6),
    }
