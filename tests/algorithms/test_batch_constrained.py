"""BEAR and BCQ as learners: warm start and thresholds by their own count, the multiplier's bounds, and how they act."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import stop_after, weights

from awac_tr.algorithms.bear.config import BEARConfig
from awac_tr.algorithms.bear.learner import BEARLearner
from awac_tr.errors import RecipeError
from awac_tr.evaluation.evaluate import evaluate
from awac_tr.models.best_of_samples import BestOfCVAE, BestOfPolicy
from awac_tr.objectives.bcq import BCQLoss
from awac_tr.policies.actor import actor_of
from awac_tr.recipes.loader import load_recipe
from awac_tr.training.experiment_setup import prepare
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train


def bear(small: Any, *overrides: str) -> tuple[BEARLearner, Any]:
    experiment = prepare(small("bear", *overrides).recipe)
    assert isinstance(experiment.learner, BEARLearner)
    return experiment.learner, experiment.buffer


def test_the_actor_follows_its_critics_after_the_warm_start_only(small: Any) -> None:
    learner, buffer = bear(small, "algorithm.warm_start=3")
    found = [learner.update(buffer.sample(8)) for _ in range(5)]
    for number, out in enumerate(found):
        climb = float(out["multiplier"] * (out["mmd"] - out["threshold"]) - out["loss_actor"])
        assert climb == pytest.approx(0.0 if number < 3 else float(out["actor_qvalue"]), abs=1e-5)
    assert int(learner.loss.updates) == 5


def test_rounds_and_phases_do_not_begin_the_warm_start_anew(small: Any) -> None:
    learner, buffer = bear(small)
    learner.update(buffer.sample(8))
    learner.on_round(buffer.sample(8))
    learner.on_phase("online")
    learner.update(buffer.sample(8))
    assert int(learner.loss.updates) == 2


@pytest.mark.parametrize(
    ("overrides", "before", "after"),
    [
        (("algorithm.preset=paper",), 0.05, 0.05),
        (("algorithm.preset=loose",), 0.05, 0.15),
        (("algorithm.preset=authors", "algorithm.late_from=1"), 0.05, 0.15),
    ],
)
def test_when_the_threshold_changes(small: Any, overrides: tuple[str, ...], before: float, after: float) -> None:
    learner, buffer = bear(small, *overrides)
    found = [float(learner.update(buffer.sample(8))["threshold"])]
    learner.on_phase("online")
    found.append(float(learner.update(buffer.sample(8))["threshold"]))
    assert found == pytest.approx([before, after])


def test_the_multiplier_stays_between_its_bounds(small: Any) -> None:
    learner, buffer = bear(small, "algorithm.multiplier_lr=100", "algorithm.threshold=10")
    learner.update(buffer.sample(8))
    assert float(learner.loss.log_multiplier.detach()) == -5
    learner, buffer = bear(small, "algorithm.multiplier_lr=100", "algorithm.threshold=1e-9")
    learner.update(buffer.sample(8))
    assert float(learner.loss.log_multiplier.detach()) == 10


def test_keys_reach_the_loss_and_the_optimisers(small: Any) -> None:
    keys: dict[str, Any] = {
        "bandwidth": 7.0, "samples": 3, "next_samples": 4, "kernel": "gaussian", "minimum_weight": 0.5,
    }  # fmt: skip
    rates = {"cvae_lr": 1e-5, "qvalue_lr": 2e-5, "policy_lr": 3e-5, "multiplier_lr": 4e-5}
    given = {**keys, **rates, "tau": 0.3, "acting_samples": 6}
    learner, _ = bear(small, *(f"algorithm.{key}={value}" for key, value in given.items()))
    assert {key: getattr(learner.loss, key) for key in keys} == keys
    groups = [group for step in learner.steps for group in step.optimizer.param_groups]
    assert [float(group["lr"]) for group in groups] == pytest.approx(list(rates.values()))
    assert [group["weight_decay"] for group in groups] == [0, 0, 0, 0]
    assert learner.targets is not None
    assert learner.targets.eps == pytest.approx(0.7)
    assert getattr(learner.act, "samples", None) == 6


def test_what_the_paper_preset_sets() -> None:
    preset, config = BEARConfig.presets["paper"], BEARConfig()
    policy = preset["policy"]
    assert (policy["log_std_min"], policy["log_std_max"], policy["hidden_sizes"]) == (-20, 2, [256, 256])
    assert (config.kernel, config.bandwidth, config.samples, config.next_samples) == ("laplacian", 50, 10, 10)
    assert (config.threshold, config.warm_start, config.minimum_weight) == (0.05, 20_000, 0.75)
    assert (config.cvae_hidden_sizes, config.cvae_lr, config.multiplier_lr) == ((750, 750), 3e-4, 1e-3)


@pytest.mark.parametrize("updates", [20, 31], ids=["at the border", "online"])
def test_stopped_at_the_border_or_after_it_loose_bear_goes_on_to_the_bit(
    updates: int, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("algorithm.preset=loose", "algorithm.warm_start=25")
    whole = train(small("bear", *settings), run_dir=tmp_path / "whole", quiet=True)
    stop_after(monkeypatch, updates=updates)
    with pytest.raises(TrainingInterrupted):
        train(small("bear", *settings), run_dir=tmp_path / "stopped", quiet=True)
    monkeypatch.undo()
    stopped = train(load_recipe(tmp_path / "stopped" / "recipe.yaml"), resume=tmp_path / "stopped", quiet=True)
    one, other = weights(whole), weights(stopped)
    assert all(torch.equal(one[key], other[key]) for key in one)
    thresholds = [row["threshold"] for row in read_rows(stopped) if row["event"] == "train"]
    assert (thresholds[0], thresholds[-1]) == (pytest.approx(0.05), pytest.approx(0.15))


def test_stopped_within_the_warm_start_it_goes_on_to_the_bit(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("algorithm.warm_start=15", "algorithm.late_from=18", "algorithm.late_threshold=0.2")
    whole = train(small("bear", *settings), run_dir=tmp_path / "whole", quiet=True)
    stop_after(monkeypatch, updates=11)
    with pytest.raises(TrainingInterrupted):
        train(small("bear", *settings), run_dir=tmp_path / "stopped", quiet=True)
    monkeypatch.undo()
    stopped = train(load_recipe(tmp_path / "stopped" / "recipe.yaml"), resume=tmp_path / "stopped", quiet=True)
    one, other = weights(whole), weights(stopped)
    assert all(torch.equal(one[key], other[key]) for key in one)
    thresholds = [row["threshold"] for row in read_rows(whole) if row["event"] == "train"]
    assert thresholds[0] == pytest.approx(0.05)
    assert thresholds[-1] == pytest.approx(0.2)


@pytest.mark.parametrize(("name", "kind", "samples"), [("bear", BestOfPolicy, 10), ("bcq", BestOfCVAE, 100)])
def test_it_acts_and_is_evaluated_by_the_best_of_its_samples(
    name: str, kind: type, samples: int, small: Any, tmp_path: Path
) -> None:
    learner: Any = prepare(small(name).recipe).learner
    assert isinstance(learner.act, kind)
    assert learner.act is learner.evaluate
    assert learner.act.samples == samples
    critics, observation, action = learner.loss.qvalue_network_params, torch.randn(4, 3), torch.randn(4, 1)
    before = learner.act.qvalue(observation, action)
    critics.data.apply_(lambda tensor: tensor * 0.5)
    assert not torch.allclose(before, learner.act.qvalue(observation, action))
    run = train(small(name), run_dir=tmp_path / "run", quiet=True)
    (*_, last) = (row for row in read_rows(run) if row["event"] == "eval")
    again = evaluate(run / "checkpoints" / "last.pt", episodes=2)
    assert again.measures["return"].mean == pytest.approx(last["return"], abs=1e-4)
    shared = evaluate(run / "checkpoints" / "last.pt", episodes=2, workers=2)
    assert shared.measures["return"].mean == again.measures["return"].mean


@pytest.mark.parametrize(
    ("name", "setting", "text"),
    [
        ("bear", "policy.distribution=normal", "which needs tanh_normal"),
        ("bear", "algorithm.late_threshold=0.2", "no effect without algorithm.late_from"),
        ("bcq", "policy.hidden_sizes=[3]", "no effect with algorithm bcq"),
    ],
)
def test_settings_that_cannot_act_are_refused(name: str, setting: str, text: str, small: Any) -> None:
    with pytest.raises(RecipeError, match=text):
        small(name, setting)


def test_both_targets_of_bcq_follow(small: Any) -> None:
    experiment = prepare(small("bcq", "algorithm.tau=0.5").recipe)
    learner: Any = experiment.learner
    loss: BCQLoss = learner.loss
    pairs = [
        (loss.actor_network_params, loss.target_actor_network_params),
        (loss.qvalue_network_params, loss.target_qvalue_network_params),
    ]
    before = [target.detach().clone() for _, target in pairs]
    learner.update(experiment.buffer.sample(8))
    for (source, target), old in zip(pairs, before, strict=True):
        expected = old.to_tensordict().apply(lambda a, b: (a + b) / 2, source.detach().to_tensordict())
        for key, value in expected.items(include_nested=True, leaves_only=True):
            torch.testing.assert_close(target.get(key).detach(), value)


def test_bcq_has_no_policy_to_start_from(small: Any, tmp_path: Path) -> None:
    run = train(small("bcq"), run_dir=tmp_path / "run", quiet=True)
    with pytest.raises(Exception, match="holds no policy"):
        prepare(small("awac", f"policy.init_from={run / 'checkpoints' / 'last.pt'}").recipe)


def test_updates_have_actions_as_deterministic_as_their_noise(small: Any) -> None:
    learner: Any = prepare(small("bcq").recipe).learner
    actor = actor_of(learner.evaluate)
    state = torch.zeros(3).numpy()
    assert (actor.act(state) == actor.act(state)).all()


@pytest.mark.parametrize("name", ["bear", "bcq"])
def test_what_acts_has_the_weights_that_learn_also_after_they_are_loaded(name: str, small: Any) -> None:
    """It is saved from there: networks of its own would leave it untrained, in the run and in its checkpoints."""
    learning, other = (prepare(small(name, f"seed={seed}").recipe) for seed in (1, 2))
    before = {key: value.clone() for key, value in learning.learner.act.state_dict().items()}
    learning.learner.update(learning.buffer.sample(8))
    learnt = learning.learner.act.state_dict()
    weights = {key for key in learnt if key.endswith(("weight", "bias"))}
    assert {key for key in weights if torch.equal(before[key], learnt[key])} == set()
    other.learner.load_state_dict(learning.learner.state_dict())
    loaded = other.learner.act.state_dict()
    assert all(torch.equal(loaded[key], learnt[key]) for key in learnt)
