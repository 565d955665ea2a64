"""Small episodes and dataset files, as fixtures of the tests of datasets and buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode

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
