"""Evaluation is a function of policy and seeds, and of nothing else."""

from __future__ import annotations

import copy
import multiprocessing
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluating import evaluate_policy

from awac_tr.envs.episode import Episode
from awac_tr.errors import EnvError
from awac_tr.evaluation.evaluator import Evaluator
from awac_tr.models.build import build_policy
from awac_tr.policies.controllers import RandomController
from awac_tr.recipes.schema import EnvSection, EvalSection, PolicySection

POLICY = build_policy(PolicySection(hidden_sizes=(8,)), 39, 28)


def evaluate(**changes: object) -> dict[str, float]:
    arguments = {"episodes": 3, "seed": 5, "action": "sample", **changes}
    return evaluate_policy(POLICY, EnvSection(id="door-binary-v0", horizon=15), **arguments)  # type: ignore[arg-type]


def test_measures_and_reproducibility() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = evaluate()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert evaluate() == first
    assert first["length"] == 15
    assert first["return"] == -15.0
    assert set(first) == {"return", "length", "success_any", "success_last", "success_share", "success_steps"}


def test_a_controller_will_do() -> None:
    controller = RandomController(-np.ones(28, np.float32), np.ones(28, np.float32))
    assert evaluate_policy(controller, EnvSection(id="door-binary-v0", horizon=5), episodes=1, seed=0)["length"] == 5


def test_it_can_be_stopped_between_episodes() -> None:
    seen: list[Episode] = []

    def check() -> None:
        seen.append(None)  # type: ignore[arg-type]
        if len(seen) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluate(check=check)
    assert len(seen) == 2


def test_the_number_of_workers_changes_nothing() -> None:
    assert evaluate(workers=2, episodes=5) == evaluate(episodes=5)


def test_places_stay_ready_and_a_policy_is_evaluated_as_it_stood() -> None:
    env = EnvSection(id="Pendulum-v1", horizon=15)
    section = EvalSection(episodes=3, seed=5, action="sample", workers=2, background=True)
    module = build_policy(PolicySection(hidden_sizes=(8,)), 3, 1)
    with closing(Evaluator(env, section)) as evaluator:
        assert evaluator.done()
        evaluator.begin(module)
        expected = evaluate_policy(
            copy.deepcopy(module), EnvSection(id=env.id, horizon=15), episodes=3, seed=5, action="sample"
        )
        with torch.no_grad():
            module[0].module.mlp.last.bias.add_(1.0)
        assert evaluator.finish() == expected
        places = {process.pid for process in multiprocessing.active_children()}
        moved = evaluator.measure(module)
        assert moved != expected
        assert {process.pid for process in multiprocessing.active_children()} == places
        assert places
    assert moved == evaluate_policy(module, EnvSection(id=env.id, horizon=15), episodes=3, seed=5, action="sample")
    assert not multiprocessing.active_children()


FLAKY = """
def rule(observation, action, next_observation, info):
    return float("nan") if {condition} else 0.0
"""


def flaky(name: str, condition: str) -> EnvSection:
    Path(f"{name}.py").write_text(FLAKY.format(condition=condition))
    return EnvSection(id="Pendulum-v1", horizon=10, reward=f"{name}:rule")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_episode_in_which_the_environment_fails_is_dropped_and_counted(
    workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The reward is NaN where the pendulum comes near the top, which two of the eight episodes do."""
    section = EvalSection(episodes=8, seed=3, workers=workers)
    still = RandomController(np.zeros(1), np.zeros(1))
    with closing(Evaluator(flaky("flaky_near_the_top", "next_observation[0] > 0.8"), section)) as evaluator:
        found = evaluator.measure(still)
    assert found == {"return": 0.0, "length": 10.0, "episodes_dropped": caplog.text.count("was dropped: Pendulum-v1")}
    assert 0 < found["episodes_dropped"] < 5


@pytest.mark.parametrize("episodes", [2, 9])
def test_an_environment_that_always_fails_is_an_error(episodes: int) -> None:
    still, section = RandomController(np.zeros(1), np.zeros(1)), EvalSection(episodes=episodes)
    with (
        closing(Evaluator(flaky("flaky_always", "True"), section)) as evaluator,
        pytest.raises(EnvError, match=r"in a row|in all 2"),
    ):
        evaluator.measure(still)
