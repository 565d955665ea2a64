"""Datasets worth drawing: two robots' worth of episodes, small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a dataset of random walks that start at an offset."""

    def make(
        name: str = "mine", *, lengths: tuple[int, ...] = (30, 7, 50), offset: float = 0.0, width: int = 5, **meta: Any
    ) -> Path:
        rng = np.random.default_rng(len(name))
        path = tmp_path / f"{name}.hdf5"
        about: dict[str, Any] = {"env_id": "", "source": "random", "action_low": [-1] * 3, "action_high": [1] * 3}
        with DatasetWriter(path, DatasetMeta(**about | meta)) as writer:
            for seed, steps in enumerate(lengths):
                states = (offset + rng.normal(size=(steps + 1, width)).cumsum(0) / 5).astype(np.float32)
                last, success = np.arange(steps) == steps - 1, np.arange(steps) > 20
                actions = rng.normal(size=(steps, 3)).clip(-1, 1).astype(np.float32)
                rewards = success.astype(np.float32) - 1
                writer.append(
                    Episode(states[:-1], actions, rewards, states[1:], last & False, last, {"success": success}, seed)
                )
            writer.finish()
        return path

    return make
