"""Small episodes and files to be spoiled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.data.meta import DatasetMeta
from awac_tr.data.writer import DatasetWriter
from awac_tr.envs.facts import env_facts
from awac_tr.envs.rollout import Episode, episode_seeds, rollouts
from awac_tr.envs.rules import env_rules
from awac_tr.recipes.schema import EnvSection

MakeEpisode = Callable[..., Episode]


def episode(seed: int = 0, steps: int = 5, *, sizes: tuple[int, int] = (3, 2), terminal: bool = False) -> Episode:
    """Random states and actions, rewards -1, ended in its last row."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(steps + 1, sizes[0])).astype(np.float32)
    last = np.arange(steps) == steps - 1
    return Episode(
        observations=states[:-1],
        actions=rng.uniform(-1, 1, (steps, sizes[1])).astype(np.float32),
        rewards=np.full(steps, -1, np.float32),
        next_observations=states[1:],
        terminals=last & terminal,
        timeouts=last & (not terminal),
        infos={"success": np.zeros(steps, bool), "qpos": rng.normal(size=(steps, 4))},
        seed=seed,
    )


def meta(**changed: Any) -> DatasetMeta:
    """Of no environment that anybody knows, so that nothing is checked against one."""
    plain: dict[str, Any] = {"env_id": "", "source": "random", "action_low": [-1, -1], "action_high": [1, 1]}
    return DatasetMeta(**plain | changed)


def write(path: Path, episodes: Iterable[Episode], about: DatasetMeta | None = None) -> str:
    with DatasetWriter(path, about or meta()) as writer:
        for one in episodes:
            writer.append(one)
        return writer.finish()


@pytest.fixture
def make_episode() -> MakeEpisode:
    return episode


@pytest.fixture
def make_meta() -> Callable[..., DatasetMeta]:
    return meta


@pytest.fixture
def write_dataset() -> Callable[..., str]:
    return write


@pytest.fixture(scope="session")
def three_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("three") / "three.hdf5"
    write(path, [episode(0), episode(1, 1, terminal=True), episode(2, 7)], meta(horizon=7, seed=3))
    return path.read_bytes()


@pytest.fixture
def three(tmp_path: Path, three_bytes: bytes) -> Path:
    """Three episodes of 5, 1 and 7 rows; the second ends in a terminal state."""
    path = tmp_path / "three.hdf5"
    path.write_bytes(three_bytes)
    return path


def collect(path: Path, env_id: str, make: Callable[[], Any], *, horizon: int, n: int, **about: Any) -> Path:
    """Episodes of a real environment, the last step of each at the horizon unless it ends before."""
    facts, rules, kwargs = env_facts(env_id), env_rules(env_id), about.pop("kwargs", {})
    meta = DatasetMeta(
        env_id=facts.id,
        source="random",
        action_low=rules.action_low,
        action_high=rules.action_high,
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

    rules = env_rules(env_id)
    return RandomController(rules.action_low, rules.action_high)


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
