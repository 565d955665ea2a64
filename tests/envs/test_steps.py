"""Rounds of steps: what whole episodes are, cut elsewhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from awac_tr.envs.episode import rollout
from awac_tr.envs.make import make_env
from awac_tr.envs.steps import Stepper, Steps
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

HORIZON = 12


class Noise:
    """Plays the noise, three times as wide as the bounds."""

    def act(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        assert observation.dtype == np.float32
        return 3 * noise


class Replay:
    """Gives actions one after the other; a controller."""

    def __init__(self, actions: np.ndarray) -> None:
        self._actions = iter(actions)

    def reset(self, seed: int) -> None:
        pass

    def act(self, observation: np.ndarray) -> np.ndarray:
        return next(self._actions)


def noise(rows: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, size)).astype(np.float32)


def seed_at(step: int) -> int:
    return 100 + step


def joined(*parts: Steps) -> Steps:
    return Steps(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def test_rounds_join_into_the_episodes_of_our_own_rollout(task: str) -> None:
    env = make_env(EnvSection(id=f"{task}-binary-v0", horizon=HORIZON))
    drawn = noise(3 * HORIZON, env.action_space.shape[0])
    stepper = Stepper(EnvSection(id=f"{task}-binary-v0", horizon=HORIZON), seed_at=seed_at)
    borders, parts = [0, 5, 6, 20, 3 * HORIZON], []
    for begin, end in pairwise(borders):
        parts.append(stepper.take(Noise(), drawn[begin:end], begin))
    stepper.close()
    whole = joined(*parts)
    assert (np.abs(whole.actions) == 1).mean() > 0.5  # clipped ones are kept
    for start in range(0, 3 * HORIZON, HORIZON):
        rows = slice(start, start + HORIZON)
        episode = rollout(env, Replay(3 * drawn[rows]), seed_at(start))
        for found, name in (
            (whole.observations, "observations"),
            (whole.actions, "actions"),
            (whole.rewards, "rewards"),
            (whole.next_observations, "next_observations"),
            (whole.terminated, "terminals"),
            (whole.truncated, "timeouts"),
        ):
            assert found.dtype == getattr(episode, name).dtype
            np.testing.assert_array_equal(found[rows], getattr(episode, name), err_msg=name)
        np.testing.assert_array_equal(whole.success[rows], episode.infos["success"])


def test_terminations_and_silence_about_success(toy: str) -> None:
    stepper = Stepper(EnvSection(id=toy, kwargs={"terminate_at": 3}), seed_at=seed_at)
    steps = stepper.take(Noise(), noise(7, 2), 0)
    assert steps.terminated.tolist() == [False, False, True, False, False, True, False]
    assert not steps.truncated.any()
    assert steps.success is None
    assert steps.rewards.tolist() == [1, 2, 3, 1, 2, 3, 1]
    # the toy hands out one array again and again
    assert steps.observations[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert steps.next_observations[:, 0].tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_a_step_that_fails_names_the_seed_of_its_episode(toy: str) -> None:
    stepper = Stepper(
        EnvSection(id=toy, kwargs={"trouble": lambda count: float("nan") if count == 2 else 0.0}), seed_at=seed_at
    )
    with pytest.raises(EnvError, match="toy-v0, episode seed 140, step 1: the reward is nan"):
        stepper.take(Noise(), noise(5, 2), 40)
