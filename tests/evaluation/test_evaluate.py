"""Evaluation: the same episodes for the same seeds, and intervals that mean what they say."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluating import evaluate_policy

from awac_tr.errors import CheckpointError, EnvError
from awac_tr.evaluation.evaluate import DEFAULT_SEED, _Task, evaluate
from awac_tr.evaluation.intervals import RESAMPLES, bootstrap, estimate, wilson
from awac_tr.policies.controllers import load_controller


@pytest.fixture
def pendulum(tmp_path: Path) -> Path:
    """An expert's file that swings nothing up: an environment that knows no success."""
    path = tmp_path / "pendulum.npz"
    arrays: dict[str, Any] = {"W0": np.ones((1, 3)), "b0": np.zeros(1), "activation": "tanh", "final": "tanh"}
    np.savez(path, **arrays, act_low=np.array([-2.0]), act_high=np.array([2.0]), obs_dim=3)
    return path


def test_rows_follow_the_seeds_and_hold_every_measure(door_checkpoint: Path) -> None:
    seen: list[int] = []
    result = evaluate(door_checkpoint, episodes=3, seed=5, on_episode=lambda row: seen.append(row["seed"]))
    assert seen == [row["seed"] for row in result.episodes] == [5, 6, 7]
    always = {"return": 0.0, "length": 6, "success_any": True, "success_last": True, "success_share": 1.0}
    assert dict(result.episodes[0]) == {"seed": 5, **always, "success_steps": False, "goal_count": 6}
    assert {name: item.mean for name, item in result.measures.items()} == {**always, "success_steps": 0.0}
    assert (result.env.horizon, result.env.kwargs, result.goal_steps) == (6, {"hinge": -1.0}, 25)


def test_the_number_of_workers_changes_nothing(pendulum: Path) -> None:
    one, two = (evaluate(pendulum, episodes=4, env="Pendulum-v1", workers=workers) for workers in (1, 2))
    assert one.episodes == two.episodes
    assert len({row["return"] for row in one.episodes}) == 4
    assert one.measures == two.measures


def test_a_worker_gets_the_same_controller(door_checkpoint: Path) -> None:
    here = _Task.of(door_checkpoint, None, "sample").make_controller
    there = pickle.loads(pickle.dumps(here))  # noqa: S301  (our own)
    actions = []
    for make in (here, there):
        controller = make()
        controller.reset(7)
        actions.append(controller.act(np.ones(39, np.float32)))
    assert (actions[0] == actions[1]).all()


def test_agrees_with_the_evaluation_during_training(shared_data: Path) -> None:
    expert = shared_data / "experts" / "dapg_pen.npz"
    result = evaluate(expert, episodes=6, env="pen-binary-v0")
    means = evaluate_policy(load_controller(expert), "pen-binary-v0", episodes=6, seed=DEFAULT_SEED)
    assert {name: item.mean for name, item in result.measures.items()} == pytest.approx(means)
    assert 0 < result.measures["success_share"].mean < 1


def test_expert_opens_the_door(shared_data: Path) -> None:
    result = evaluate(shared_data / "experts" / "dapg_door.npz", episodes=3, env="door-binary-v0")
    assert result.measures["success_steps"].mean == 1
    assert result.measures["success_steps"].wilson == pytest.approx((0.4385, 1), abs=1e-4)
    assert result.measures["return"].mean > -100


def test_sampling_is_another_thing_than_the_mean_and_repeats(shared_data: Path) -> None:
    def returns(action: Any) -> list[float]:
        path = shared_data / "experts" / "dapg_door.npz"
        return [row["return"] for row in evaluate(path, episodes=3, action=action, env="door-binary-v0").episodes]

    assert returns("mean") != returns("sample")
    assert returns("sample") == returns("sample")


def test_environment_without_success_has_return_and_length_only(pendulum: Path) -> None:
    result = evaluate(pendulum, episodes=2, env="Pendulum-v1")
    assert list(result.measures) == ["return", "length"]
    assert list(result.episodes[0]) == ["seed", "return", "length"]
    assert result.measures["return"].mean < -100
    assert result.goal_steps is None


def test_json_is_plain_and_names_method_and_versions(door_checkpoint: Path) -> None:
    plain = json.loads(json.dumps(evaluate(door_checkpoint, episodes=2).to_json()))
    assert plain["episodes"] == len(plain["rows"]) == 2
    assert plain["measures"]["success_any"]["wilson"] == pytest.approx([0.342, 1], abs=1e-3)
    assert "bootstrap" in plain["intervals"]
    assert {"mujoco", "gymnasium-robotics"} <= set(plain["versions"])
    assert plain["checkpoint"] == str(door_checkpoint)


@pytest.mark.parametrize("other", ["pen-binary-v0", "relocate-binary-v0", "AdroitHandDoorSparse-v1"])
def test_checkpoint_of_another_task_is_refused(door_checkpoint: Path, other: str) -> None:
    with pytest.raises(CheckpointError, match="door-binary-v0"):
        evaluate(door_checkpoint, env=other)


def test_expert_of_another_task_is_refused(pendulum: Path) -> None:
    with pytest.raises(CheckpointError, match="3 observations"):
        evaluate(pendulum, env="door-binary-v0")


def test_expert_without_environment_is_refused(pendulum: Path) -> None:
    with pytest.raises(CheckpointError, match="--env"):
        evaluate(pendulum)


def test_unknown_environment(pendulum: Path) -> None:
    with pytest.raises(EnvError, match="door-binary-v0"):
        evaluate(pendulum, env="door-binary-v7")


def test_no_episodes_is_a_mistake_of_the_caller(door_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        evaluate(door_checkpoint, episodes=0)


@pytest.mark.parametrize(
    ("successes", "count", "expected"),
    # Agresti and Coull (1998) and Newcombe (1998), table I: the values printed there
    [(5, 10, (0.2366, 0.7634)), (81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0, 0.1611))],
)
def test_wilson_against_published_values(successes: int, count: int, expected: tuple[float, float]) -> None:
    assert wilson(successes, count) == pytest.approx(expected, abs=1e-4)
    mirrored = wilson(count - successes, count)
    assert mirrored == pytest.approx((1 - expected[1], 1 - expected[0]), abs=1e-4)


def test_bootstrap_against_drawing_the_rows_one_by_one() -> None:
    generator = np.random.default_rng(3)
    table = generator.exponential(size=(30, 2)) * [1, 10]
    low, high = bootstrap(table, seed=0)
    drawn = table[generator.integers(0, 30, size=(RESAMPLES, 30))].mean(axis=1)
    expected = np.quantile(drawn, [0.025, 0.975], axis=0)
    spread = table.std(axis=0) / np.sqrt(30)
    assert np.abs(np.stack([low, high]) - expected).max() < 0.1 * spread.max()
    assert (low < table.mean(axis=0)).all()
    assert (table.mean(axis=0) < high).all()


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        low, high = bootstrap(generator.normal(size=(40, 1)), seed=trial, resamples=500)
        hits += low[0] <= 0 <= high[0]
    assert 0.89 < hits / 200 < 0.99


def test_bootstrap_depends_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.arange(20.0)[:, None]
    whole = bootstrap(table, seed=1)
    monkeypatch.setattr("awac_tr.evaluation.intervals._CHUNK", 1000)
    assert bootstrap(table, seed=1) == whole
    assert bootstrap(table, seed=2) != whole


def test_unanimous_episodes_have_no_width_and_say_so() -> None:
    found = estimate(["success_any", "return"], np.array([[0.0, -0.7]] * 50), seed=0)
    assert (found["success_any"].low, found["success_any"].high) == (0, 0)
    assert found["success_any"].unanimous
    assert found["success_any"].wilson == pytest.approx((0, 0.0713), abs=1e-4)
    assert found["return"].wilson is None
    assert found["return"].low == found["return"].high == -0.7


def test_one_episode() -> None:
    found = estimate(["return"], np.array([[-3.0]]), seed=0)["return"]
    assert (found.mean, found.low, found.high, found.std) == (-3, -3, -3, 0)
