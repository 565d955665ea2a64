"""AWR's rounds: shares of their updates, what each part learns from, passes over the buffer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import stop_after, weights
from tensordict import TensorDict

from awac_tr.algorithms.awr.rounds import AWRLearner
from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.passes import ShuffledPasses
from awac_tr.envs.env_info import EnvInfo
from awac_tr.errors import RecipeError
from awac_tr.objectives.returns import td_lambda_returns, whitened
from awac_tr.recipes.loader import recipe_from_dict
from awac_tr.training.experiment_setup import prepare
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.train import train

FACTS = EnvInfo("toy", 10, (-1.0, 0.0), None, None, 3, 2)


def learner(**sections: Any) -> AWRLearner:
    torch.manual_seed(0)
    recipe = recipe_from_dict(
        {"name": "toy", "env": {"id": "toy"}, "data": {"datasets": ["toy"]}, "algorithm": {"name": "awr"}, **sections}
    )
    made = build_learner(recipe, FACTS, None)
    assert isinstance(made, AWRLearner)
    return made


def episodes(count: int = 4, length: int = 5) -> TensorDict:
    rows, generator = count * length, torch.Generator().manual_seed(2)
    done = (torch.arange(rows) % length == length - 1)[:, None]
    observation = torch.randn(rows, 3, generator=generator)
    following = {
        "observation": torch.randn(rows, 3, generator=generator),
        "reward": -torch.rand(rows, 1, generator=generator),
        "terminated": done & (torch.arange(rows) < rows // 2)[:, None],
        "done": done,
    }
    action = torch.rand(rows, 2, generator=generator) * 2 - 1
    return TensorDict({"observation": observation, "action": action, "next": following}, [rows])


def test_shares_of_updates() -> None:
    made = learner()
    assert made._planned == 55_300
    assert made.value_updates == 9217
    made.on_round(episodes(count=4, length=512))
    assert (made._planned, made.value_updates) == (1200, 200)


def test_a_round_is_value_updates_and_then_policy_updates() -> None:
    made, rows = learner(offline={"updates": 12, "batch_size": 8}), episodes()
    outputs = [set(made.update(rows).keys()) for _ in range(12)]
    assert [("loss_value" in names, "loss_actor" in names) for names in outputs] == 2 * [(True, False)] + 10 * [
        (False, True)
    ]
    assert {"effective_sample_size", "advantage", "log_prob", "out_of_bounds"} <= outputs[-1]


def test_targets_stand_still_and_weights_see_the_new_value() -> None:
    made, rows = learner(offline={"updates": 12, "batch_size": 8}), episodes()
    made.update(rows)
    returns = made._targets
    made.update(rows)
    assert made._targets is returns, "V moved, its targets must not"
    made.update(rows)
    value = made.loss.values(rows["observation"])
    anew = td_lambda_returns(rows, made.loss.values(rows["next", "observation"]), gamma=0.99, lmbda=0.95)
    expected = whitened(anew - value, 1e-5).exp().clamp_max(20)
    assert made._targets is not None
    torch.testing.assert_close(made._targets, expected)
    kept = made._targets
    made.update(rows)
    assert made._targets is kept


def test_passes_take_every_row_alike_and_go_on_where_they_were() -> None:
    passes = ShuffledPasses()
    passes.begin()
    first = torch.cat([passes.take(20, 8) for _ in range(3)])
    assert first[:20].sort()[0].tolist() == list(range(20))
    assert first[20:].tolist() == first[:4].tolist()
    second = [passes.take(20, 8)]
    other = ShuffledPasses()
    other.load_state_dict(passes.state_dict())
    second.append(other.take(20, 8))
    assert torch.cat(second).tolist() == torch.cat([second[0], passes.take(20, 8)]).tolist()
    assert len(set(torch.cat(second).tolist())) == 16
    assert torch.cat(second).tolist() != first[:16].tolist()
    assert passes.take(3, 8).shape == (3,)


def test_only_what_it_says_is_trained() -> None:
    made, rows = learner(offline={"updates": 12, "batch_size": 8}), episodes()
    net = made.policy[0].module
    assert net.mlp.last.weight.abs().max() <= 0.01
    with torch.no_grad():
        scale = made.policy.get_dist(rows.select("observation")).base_dist.scale
    torch.testing.assert_close(scale, torch.full_like(scale, 0.4))
    before = {name: tensor.clone() for name, tensor in made.loss.state_dict().items()}
    made.update(rows)
    changed = {name for name, tensor in made.loss.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("value_network") for name in changed)
    for _ in range(11):
        made.update(rows)
    after = made.loss.state_dict()
    assert torch.equal(after["actor_network_params.module.0.module.std_parameter"], net.std_parameter)
    assert (net.std_parameter == 0).all()


def test_statistics_follow_the_buffer_while_it_is_small(small: Any) -> None:
    recipe = small("awr", "algorithm.normalizer_rows=160").recipe
    experiment = prepare(recipe)
    rows = experiment.buffer.in_order()
    assert len(rows) == 150
    made = experiment.learner
    made.update(rows)
    loc = made.policy[0].module.standardize.loc
    torch.testing.assert_close(loc, rows["observation"].mean(0))
    torch.testing.assert_close(made.loss.value_network_params.get(("module", "standardize", "loc")).data, loc)
    for count, follows in ((10, True), (10, False)):
        fresh = experiment.collector_after(0).collect(count)
        experiment.buffer.extend(fresh)
        made.on_round(fresh)
        before = loc.clone()
        made.update(experiment.buffer.in_order())
        assert torch.equal(before, loc) is not follows


def test_a_deviation_that_follows_the_state_cannot_stay() -> None:
    with pytest.raises(RecipeError, match=r"policy\.std: dependent"):
        learner(policy={"std": "dependent"})


def test_the_buffer_in_order_ends_what_is_under_way(small: Any) -> None:
    experiment = prepare(small("awr").recipe)
    experiment.buffer.extend(experiment.collector_after(0).collect(30))  # an episode of 25 steps, and 5 of the next
    rows = experiment.buffer.in_order()
    ends = rows["next", "done"][:, 0].nonzero()[:, 0].tolist()
    assert ends == [*range(24, 175, 25), 179]
    assert rows["next", "truncated"][ends].all()
    same = (rows["observation"][1:] == rows["next", "observation"][:-1]).all(-1)
    assert same.logical_not().nonzero()[:, 0].tolist() == ends[:-1]
    assert not experiment.buffer[:]["next", "done"][-1]
    experiment.buffer.extend(experiment.collector_after(30).collect(10))
    rows = experiment.buffer.in_order()
    assert rows["next", "done"][:, 0].nonzero()[:, 0].tolist() == [*range(24, 175, 25), 189]


@pytest.mark.parametrize("updates", [2, 12, 21, 30])
def test_resumes_to_the_bit_in_either_part(
    updates: int, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 updates a round: V's are the first four."""
    whole = train(small("awr"), run_dir=tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_after(patch, updates=updates)
        with pytest.raises(TrainingInterrupted):
            train(small("awr"), run_dir=tmp_path / "stopped", quiet=True)
    stopped = train(small("awr"), resume=tmp_path / "stopped", quiet=True)
    one, other = weights(whole), weights(stopped)
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("buffer.n_steps=3", "buffer.n_steps"),
        ("hindsight.kept=0.5", "hindsight"),
        ("compile=true", "compile"),
        ("buffer.mix=0.5", "draws no rows online"),
        ("collect.workers=2", "needs episodes in order"),
    ],
)
def test_what_it_does_not_read_is_refused(override: str, message: str, small: Any) -> None:
    with pytest.raises(RecipeError, match=message):
        small("awr", override)
