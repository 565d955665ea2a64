"""SAC and its relatives as learners: how they begin, what they clone, compiled updates, keys without effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import stop_after, weights
from tensordict import TensorDict

from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.gradient_learner import GradientLearner
from awac_tr.algorithms.hardware import cannot_compile
from awac_tr.envs.env_info import EnvInfo
from awac_tr.errors import RecipeError
from awac_tr.recipes.loader import load_recipe, recipe_from_dict
from awac_tr.training.experiment_setup import prepare
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

FACTS = EnvInfo("toy", 10, (-1.0, 0.0), None, None, 3, 2)
CPU = torch.device("cpu")


def learner(compiled: bool = False, **algorithm: Any) -> GradientLearner:
    torch.manual_seed(0)
    sections = {
        "name": "toy",
        "env": {"id": "toy"},
        "data": {"datasets": ["toy"]},
        "policy": {"hidden_sizes": [8]},
        "qvalue": {"hidden_sizes": [8]},
        "compile": compiled,
        "algorithm": algorithm,
    }
    made = build_learner(recipe_from_dict(sections), FACTS, None)
    assert isinstance(made, GradientLearner)
    return made


def rows(size: int, generator: torch.Generator) -> dict[str, Any]:
    end = torch.rand(size, 1, generator=generator) > 0.7
    return {
        "observation": torch.randn(size, 3, generator=generator),
        "action": torch.rand(size, 2, generator=generator) * 2 - 1,
        "next": {
            "observation": torch.randn(size, 3, generator=generator),
            "reward": -torch.ones(size, 1),
            "terminated": end,
            "truncated": torch.zeros_like(end),
            "done": end,
        },
    }


def batch(seed: int = 1, size: int = 16) -> TensorDict:
    generator = torch.Generator().manual_seed(seed)
    return TensorDict({**rows(size, generator), "demonstrations": rows(size, generator)}, [size])


def numbers(made: GradientLearner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in made.loss.state_dict().items() if isinstance(value, torch.Tensor)}


def changed(made: GradientLearner, before: dict[str, torch.Tensor]) -> set[str]:
    after = numbers(made)
    return {name.split(".")[0] for name, value in before.items() if not torch.equal(after[name], value)}


EVERYTHING = {"actor_network_params", "qvalue_network_params", "target_qvalue_network_params", "log_alpha"}


def test_alpha_is_new_when_actor_and_critics_see_it() -> None:
    """log alpha is 0 at first; Adam's first step is its rate."""
    out = learner(name="sac").update(batch())
    assert abs(float(out["alpha"]) - 1) == pytest.approx(3e-4, rel=0.01)


def test_entropy_aimed_at_is_minus_the_size_of_an_action() -> None:
    assert float(learner(name="sac").loss.target_entropy) == -2
    assert float(learner(name="sac", target_entropy=-1.5).loss.target_entropy) == -1.5


def test_pretraining_clones_and_touches_nothing_else() -> None:
    made = learner(name="sac", preset="pretrain")
    made.on_phase("offline")
    before = numbers(made)
    outs = [made.update(batch()) for _ in range(60)]
    assert set(outs[0].keys()) == {"loss_clone", "demonstration_log_prob"}
    assert float(outs[-1]["loss_clone"]) < float(outs[0]["loss_clone"])
    assert changed(made, before) == {"actor_network_params"}
    made.on_phase("online")
    before = numbers(made)
    assert "loss_clone" not in made.update(batch())
    assert changed(made, before) == EVERYTHING


def test_prior_learns_everything_offline() -> None:
    made = learner(name="sac")
    made.on_phase("offline")
    before = numbers(made)
    made.update(batch())
    assert changed(made, before) == EVERYTHING


def test_cloning_term_counts_by_its_weight() -> None:
    """The actor is drawn to the demonstrations, whatever the rows of the first batch; without entropy, only so."""
    likely = []
    for weight in (1e-4, 100.0):
        made = learner(name="sac_bc", cloning_weight=weight, policy_lr=1e-2, alpha=0.0, tune_alpha=False)
        likely.append([float(made.update(batch())["demonstration_log_prob"]) for _ in range(60)][-1])
    assert likely[1] > likely[0] + 10
    out = learner(name="sac_bc", cloning_weight=3.0).update(batch())
    assert float(out["loss_clone"]) == pytest.approx(-3 * float(out["demonstration_log_prob"]))
    out = learner(name="sac_bc", cloning="mse").update(batch())
    assert 0 < float(out["loss_clone"]) < 1


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"tune_alpha": False}, "which holds the entropy"),
        ({"alpha": 0.5}, "which holds the entropy"),
        ({"penalty": "reward", "value_penalty": True}, "has no effect"),
        ({"penalty": "reward", "value_bounds": [None, 0.0]}, "may leave the range of returns"),
    ],
)
def test_a_penalty_refuses_keys_it_does_not_read(keys: dict[str, Any], text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        learner(name="brac", **keys)
    assert learner(name="brac", value_bounds="reward_range")


def test_the_model_of_the_behaviour_learns_first_and_offline_and_online() -> None:
    made = learner(name="brac", policy_lr=1e-2)
    for phase in ("offline", "online"):
        made.on_phase(phase)
        found = [float(made.update(batch())["behaviour_log_prob"]) for _ in range(20)]
        assert found[-1] > found[0]


def test_a_model_beside_awac_changes_nothing_but_is_kept() -> None:
    found = []
    for behaviour_model in (False, True):
        made = learner(name="awac", behaviour_model=behaviour_model)
        torch.manual_seed(1)
        found.append([made.update(batch(seed)) for seed in range(3)])
    for without, beside in zip(*found, strict=True):
        assert all(torch.equal(value, beside[name]) for name, value in without.items())
        assert set(beside.keys()) - set(without.keys()) == {"loss_behaviour", "behaviour_log_prob"}
    again = learner(name="awac", behaviour_model=True)
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.update(batch())["behaviour_log_prob"], made.update(batch())["behaviour_log_prob"])


@pytest.mark.slow
@pytest.mark.skipif(cannot_compile(CPU) is not None, reason=f"cannot compile here: {cannot_compile(CPU)}")
@pytest.mark.parametrize(
    "algorithm",
    [{"name": "sac"}, {"name": "sac", "preset": "authors"}, {"name": "sac_bc"}, {"name": "brac"}],
    ids=["sac", "sac authors", "sac_bc", "brac"],
)
def test_compiled_update_is_the_same(algorithm: dict[str, Any]) -> None:
    found = []
    for compiled in (True, False):
        made = learner(compiled, **algorithm)
        torch.manual_seed(1)
        found.append([{k: float(v) for k, v in made.update(batch(seed)).items()} for seed in range(4)])
    for mine, theirs in zip(*found, strict=True):
        assert mine == pytest.approx(theirs, rel=2e-4, abs=2e-5)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"alpha": 0.0}, "cannot be tuned"),
        ({"tune_alpha": False, "target_entropy": -2.0}, "has no effect"),
        ({"value_bounds": "reward_range"}, "may leave the range of returns"),
        ({"value_bounds": [None, 0.0], "tune_alpha": False, "alpha": 0.1}, "may leave the range of returns"),
    ],
)
def test_contradictions_are_refused(keys: dict[str, Any], text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        learner(name="sac", **keys)


def test_a_start_from_scratch_has_no_offline_phase(small: Any) -> None:
    with pytest.raises(RecipeError, match=r"(?s)offline.updates .*no offline phase.*buffer.mix"):
        small("sac", "algorithm.start=scratch", "buffer.mix=0.5")


def test_scratch_begins_with_an_empty_buffer(small: Any, tmp_path: Path) -> None:
    loaded = small("sac", "algorithm.preset=scratch", "offline.updates=0")
    assert len(prepare(loaded.recipe).buffer) == 0
    run = train(loaded, run_dir=tmp_path / "run", quiet=True)
    updates = [row["update"] for row in read_rows(run) if row["event"] == "train"]
    assert max(updates) == 40


@pytest.mark.parametrize(("preset", "updates", "stop"), [("scratch", 0, 9), ("pretrain", 20, 9), ("pretrain", 20, 29)])
def test_it_resumes_to_the_bit_from_every_start(
    preset: str, updates: int, stop: int, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (f"algorithm.preset={preset}", f"offline.updates={updates}")
    whole = train(small("sac", *overrides), run_dir=tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_after(patch, updates=stop)
        with pytest.raises(TrainingInterrupted):
            train(small("sac", *overrides), run_dir=tmp_path / "stopped", quiet=True)
    recipe = load_recipe(tmp_path / "stopped" / "recipe.yaml")
    stopped = train(recipe, resume=tmp_path / "stopped", quiet=True)
    one, other = weights(whole), weights(stopped)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_only_the_first_rows_of_demonstrations_count() -> None:
    some, cut = learner(name="sac_bc", demonstration_batch_size=3), learner(name="sac_bc")
    rows, first = batch(), batch()[:3]
    rows["demonstrations"], first["demonstrations"] = batch(2), batch(2)[:3]
    found = [float(each.update(data)["demonstration_log_prob"]) for each, data in ((some, rows), (cut, first))]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    whole = float(learner(name="sac_bc").update(rows)["demonstration_log_prob"])
    assert found[0] != pytest.approx(whole, rel=1e-5)
