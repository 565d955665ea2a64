"""The trained experts of others reach in our environments what is on record for them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from awac_tr.collectors.episodes import rollout
from awac_tr.data.convert.unpickle import load_pickle
from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env
from awac_tr.envs.measures import measure
from awac_tr.policies.experts import load_expert

EPISODES = 50
ON_RECORD = {"pen": (0.84, 0.80), "door": (1.0, 1.0), "relocate": (1.0, 0.98)}
"""Success at any step and at the last, 50 episodes each, deterministic actions."""


def _tolerance(rate: float) -> float:
    """Three standard errors of a difference between two rates of 50 episodes each, the record's and ours.

    A rate of 0 or 1 has an estimated error of 0, so it is moved half an episode inward.
    """
    inward = min(max(rate, 0.5 / EPISODES), 1 - 0.5 / EPISODES)
    return 3 * math.sqrt(2 * inward * (1 - inward) / EPISODES)


def test_success_is_as_on_record_and_both_rewards_agree(task: str, shared_data: Path) -> None:
    env, facts = make_env(f"{task}-binary-v0"), env_info(f"{task}-binary-v0")
    expert = load_expert(shared_data / "experts" / f"dapg_{task}.npz")
    episodes = [rollout(env, expert, seed) for seed in range(EPISODES)]
    measures = measure(episodes, facts.goal_steps)
    for name, rate in zip(("success_any", "success_last"), ON_RECORD[task], strict=True):
        assert abs(measures[name].mean() - rate) <= _tolerance(rate), name
    assert facts.reward_rule is not None
    for episode in episodes:
        np.testing.assert_array_equal(facts.reward_rule(episode.next_observations), episode.rewards)
        np.testing.assert_array_equal(episode.rewards == 0, episode.infos["success"])
        assert set(np.unique(episode.rewards)) <= {-1.0, 0.0}


def test_human_door_demonstrations_reach_the_goal_in_the_episodes_on_record(shared_data: Path) -> None:
    demos = load_pickle(shared_data / "demos" / "door-v0_demos.pickle")
    rule = env_info("door-binary-v0").reward_rule
    assert rule is not None
    solved = [index for index, demo in enumerate(demos) if (rule(demo["observations"].array) == 0).any()]
    assert solved == [11, 16, 18, 22, 23, 24]
