"""Goals on their way from an environment into episodes and rounds, and the rule that rewards follow from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from awac_tr.collectors.collector import ActorModule, FastCollector
from awac_tr.collectors.episodes import rollout
from awac_tr.envs.env_info import env_info
from awac_tr.envs.episode import Episode
from awac_tr.envs.goal_rule import goal_rule
from awac_tr.envs.make import make_env, make_torchrl_env
from awac_tr.envs.recorder import EpisodeRecorder
from awac_tr.errors import EnvError
from awac_tr.keys import ACHIEVED_GOAL, GOALS, NEXT_ACHIEVED_GOAL


class Drift:
    """Always the same action."""

    def reset(self, seed: int) -> None:
        pass

    def act(self, _observation: Any, *_noise: Any) -> Any:
        return np.array([0.5, -0.25], np.float32)


@pytest.fixture
def walks(goal_point: str) -> Iterator[list[Episode]]:
    env = make_env(goal_point)
    yield [rollout(env, Drift(), seed) for seed in range(6)]
    env.close()


def test_episodes_keep_their_goals(walks: list[Episode]) -> None:
    for walk in walks:
        goals = {name: walk.infos[name] for name in GOALS}
        assert {rows.shape for rows in goals.values()} == {(len(walk), 2)}
        assert {rows.dtype.name for rows in goals.values()} == {"float32"}
        np.testing.assert_array_equal(goals["achieved_goals"], walk.observations[:, :2])
        np.testing.assert_array_equal(goals["next_achieved_goals"], walk.next_observations[:, :2])
        np.testing.assert_array_equal(goals["desired_goals"], walk.observations[:, 3:])
        assert len(np.unique(goals["achieved_goals"], axis=0)) > len(walk) // 3  # and not one array, again and again


def test_a_recorder_keeps_them_too(goal_point: str, walks: list[Episode]) -> None:
    heard: list[Episode] = []
    with EpisodeRecorder(make_env(goal_point), heard.append) as env:
        for seed in range(6):
            env.reset(seed=seed)
            over = False
            while not over:
                _, _, terminated, truncated, _ = env.step(Drift().act(None))
                over = terminated or truncated
    for walk, other in zip(walks, heard, strict=True):
        assert set(walk.infos) == set(other.infos)
        for name in walk.infos:
            np.testing.assert_array_equal(walk.infos[name], other.infos[name])


def test_rounds_keep_them_and_number_the_episodes(goal_point: str, walks: list[Episode]) -> None:
    starts = np.cumsum([0, *map(len, walks)]).tolist()

    def seed_at(step: int, _failures: int) -> int:
        return int(starts.index(step))

    env, drift = make_torchrl_env(goal_point, success=True), Drift()
    options: dict[str, Any] = {"trust_policy": True, "auto_register_policy_transforms": False}
    collector = FastCollector(env, ActorModule(drift), seed_at=seed_at, frames_per_batch=7, **options)
    noise = np.zeros((starts[-1], 2), np.float32)
    rounds = [collector.take(drift, noise[begin : begin + 7], begin=begin).clone() for begin in range(0, starts[-1], 7)]
    collector.shutdown()
    found = torch.cat(rounds)
    for key in (ACHIEVED_GOAL, NEXT_ACHIEVED_GOAL):
        (info,) = (name for name, memory in GOALS.items() if memory == key)
        np.testing.assert_array_equal(found[key], np.concatenate([walk.infos[info] for walk in walks]))
    numbers = np.repeat(starts[:-1], [len(walk) for walk in walks])
    np.testing.assert_array_equal(found["collector", "traj_ids"], numbers)


def test_other_environments_have_none() -> None:
    facts, env = env_info("Pendulum-v1"), make_env("Pendulum-v1")
    assert facts.goal is None
    assert not set(rollout(env, _Still(), 0).infos) & set(GOALS)
    env.close()


class _Still(Drift):
    def act(self, _observation: Any, *_noise: Any) -> Any:
        return np.zeros(1, np.float32)


def test_the_rule_is_what_the_environment_did(goal_point: str, walks: list[Episode]) -> None:
    rule = env_info(goal_point).goal
    assert rule is not None
    assert rule.terminated is not None
    assert rule.sample is not None
    for walk in walks:
        pair = walk.infos["next_achieved_goals"], walk.infos["desired_goals"]
        np.testing.assert_array_equal(rule.reward(*pair), walk.rewards)
        np.testing.assert_array_equal(rule.terminated(*pair), walk.terminals)
        assert rule.reward(*pair).dtype == np.float32
        assert rule.terminated(*pair).dtype == np.bool_
    goals = rule.sample(5, np.random.default_rng(1))
    assert (goals.shape, goals.dtype.name) == ((5, 2), "float32")
    np.testing.assert_array_equal(goals, rule.sample(5, np.random.default_rng(1)))


class _Odd(gymnasium.Env[Any, Any]):
    """Methods that do not take rows."""

    def __init__(self, *, ends: bool = False) -> None:
        self._ends = ends

    def compute_reward(self, achieved: Any, desired: Any, _info: Any) -> float:
        return -float(np.linalg.norm(achieved - desired))

    def compute_terminated(self, achieved: Any, desired: Any, _info: Any) -> bool:
        return self._ends and bool(np.linalg.norm(achieved - desired) < 0.1)

    def sample_goals(self, count: int, _rng: Any) -> Any:
        return np.zeros((count, 3))


def test_methods_that_take_no_rows() -> None:
    goals = np.ones((4, 2), np.float32)
    rule, ending = (goal_rule(_Odd(ends=ends), 2, "odd-v0") for ends in (False, True))
    assert rule is not None
    assert rule.terminated is None
    with pytest.raises(EnvError, match=r"compute_reward of odd-v0 gave shape \(\) for 4 rows"):
        rule.reward(goals, goals)
    assert rule.sample is not None
    with pytest.raises(EnvError, match=r"sample_goals of odd-v0 gave shape \(2, 3\)"):
        rule.sample(2, np.random.default_rng(0))
    assert ending is not None
    assert ending.terminated is not None
    with pytest.raises(EnvError, match="compute_terminated of odd-v0 gave shape"):
        ending.terminated(goals, goals)


def test_methods_that_raise() -> None:
    class Raising(_Odd):
        def compute_reward(self, *_: Any) -> Any:
            raise RuntimeError("no scene")

    rule = goal_rule(Raising(), 2, "odd-v0")
    assert rule is not None
    with pytest.raises(EnvError, match="compute_reward of odd-v0 raised RuntimeError: no scene"):
        rule.reward(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32))
    assert goal_rule(gymnasium.Env(), 2, "nothing") is None
