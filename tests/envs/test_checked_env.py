from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from awac_tr.envs.make import make_env
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

ACTION = np.zeros(2, np.float32)


def _fails(count: int) -> float:
    if count == 3:
        raise RuntimeError("the motor burnt")
    return 0.0


def _nan(count: int) -> float:
    return float("nan") if count == 3 else 0.0


@pytest.mark.parametrize(("trouble", "said"), [(_fails, "RuntimeError: the motor burnt"), (_nan, "the reward is nan")])
def test_trouble_names_environment_seed_and_step(toy: str, trouble: Any, said: str) -> None:
    env = make_env(EnvSection(id=toy, kwargs={"trouble": trouble}))
    env.reset(seed=42)
    env.step(ACTION)
    env.step(ACTION)
    with pytest.raises(EnvError, match=f"^toy-v0, episode seed 42, step 2: {said}"):
        env.step(ACTION)


def test_later_episodes_of_one_seed_are_told_apart(toy: str) -> None:
    env = make_env(EnvSection(id=toy, kwargs={"trouble": _nan}))
    env.reset(seed=42)
    env.reset()
    env.reset()
    env.step(ACTION)
    env.step(ACTION)
    with pytest.raises(EnvError, match="seed 42 and 2 more resets, step 2"):
        env.step(ACTION)


def test_nan_observations_say_where(toy: str) -> None:
    env = make_env(toy)
    env.reset(seed=1)
    env.unwrapped._observation[1] = np.inf
    with pytest.raises(EnvError, match=r"seed 1, step 0: the observation has NaN or infinity at \[1\]"):
        env.step(ACTION)


def test_observations_handed_out_are_not_overwritten(toy: str) -> None:
    env = make_env(toy)
    first, _ = env.reset(seed=0)
    env.step(ACTION)
    assert first[0] == 0
