"""The three tasks and what acts in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest

from awac_tr.envs.make import make_env


@pytest.fixture
def env(task: str) -> Iterator[gymnasium.Env[Any, Any]]:
    made = make_env(f"{task}-binary-v0")
    yield made
    made.close()
