"""Rounds of steps: what whole episodes are, cut elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
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


def seed_at(step: int, failures: int = 0) -> int:
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


def test_an_episode_that_fails_is_dropped_and_another_takes_its_steps(toy: str) -> None:
    """The third reset of the environment gives an episode that breaks at its second step."""
    stepper = Stepper(EnvSection(id=toy, kwargs={"trouble": Trouble(resets=(3,))}), seed_at=seed_at)
    steps = stepper.take(Noise(), noise(15, 2), 0)
    assert steps.dropped == ("toy-v0, episode seed 110, step 1: the reward is nan",)
    assert steps.observations[:, 0].tolist() == [0, 1, 2, 3, 4] * 3
    assert steps.episodes.tolist() == [0] * 5 + [5] * 5 + [10] * 5
    assert stepper.take(Noise(), noise(5, 2), 15).dropped == ()


def test_what_fails_in_a_later_round_costs_that_round_only(toy: str) -> None:
    stepper = Stepper(EnvSection(id=toy, kwargs={"trouble": Trouble(resets=(1,), step=4)}), seed_at=seed_at)
    before = stepper.take(Noise(), noise(2, 2), 0)
    after = stepper.take(Noise(), noise(6, 2), 2)
    assert (before.dropped, len(after.dropped)) == ((), 1)
    assert before.observations[:, 0].tolist() == [0, 1]
    assert after.observations[:, 0].tolist() == [0, 1, 2, 3, 4, 0]
    assert after.episodes.tolist() == [2] * 5 + [7]


def test_episodes_that_fail_in_a_row_are_an_error_that_names_the_last_seed(toy: str) -> None:
    stepper = Stepper(EnvSection(id=toy, kwargs={"trouble": Trouble(resets=range(99))}), seed_at=_other_seed_each_time)
    with pytest.raises(EnvError, match="4 episodes in a row failed; the last: toy-v0, episode seed 3040, step 1: the"):
        stepper.take(Noise(), noise(5, 2), 40)


def _other_seed_each_time(step: int, failures: int) -> int:
    return step + 1000 * failures


class Trouble:
    """A reward that is NaN at one step of the episodes begun by certain resets."""

    def __init__(self, resets: Iterable[int], step: int = 2) -> None:
        self._resets, self._step, self._episode = set(resets), step, 0

    def __call__(self, count: int) -> float:
        self._episode += count == 1
        return float("nan") if count == self._step and self._episode in self._resets else 0.0


@pytest.mark.parametrize("taken", [1, 5, 11, HORIZON, HORIZON + 3])
def test_an_environment_gets_back_into_the_middle_of_its_episode(task: str, taken: int) -> None:
    """To the last bit, time limit included; with the place as a checkpoint would keep it."""
    env = EnvSection(id=f"{task}-binary-v0", horizon=HORIZON)
    first, second = Stepper(env, seed_at=seed_at), Stepper(env, seed_at=seed_at)
    drawn = noise(3 * HORIZON, make_env(env).action_space.shape[0])
    first.take(Noise(), drawn[:taken], 0)
    assert second.take_up(pickle.loads(pickle.dumps(first.place)))  # noqa: S301
    one, other = (stepper.take(Noise(), drawn[taken:], taken) for stepper in (first, second))
    for name, array in one._asdict().items():
        np.testing.assert_array_equal(getattr(other, name), array, err_msg=name)


def test_a_simulator_that_does_not_repeat_itself_is_noticed(toy: str) -> None:
    stepper = Stepper(toy, seed_at=seed_at)
    stepper.take(Noise(), noise(3, 2), 0)
    place = stepper.place
    assert Stepper(toy, seed_at=seed_at).take_up(place)
    other = Stepper(toy, seed_at=seed_at)
    assert not other.take_up(place._replace(observation=place.observation + 1))
    assert not other.take_up(place._replace(actions=np.zeros((9, 2), np.float32)))  # beyond the horizon of 5
    assert other.take(Noise(), noise(2, 2), 3).observations[:, 0].tolist() == [0, 1]
