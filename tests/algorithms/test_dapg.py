"""DAPG: what it begins with, what its rounds do, and that each part resumes to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import stop_after, weights
from tensordict import TensorDict

from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.dapg.rounds import DAPGLearner
from awac_tr.envs.env_info import EnvInfo
from awac_tr.errors import RecipeError
from awac_tr.recipes.loader import recipe_from_dict
from awac_tr.training.experiment_setup import prepare
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.run_dataset import dataset_from_run
from awac_tr.training.train import train

FACTS = EnvInfo("toy", 10, (-1.0, 0.0), None, None, 3, 2)


def rows(count: int, seed: int, length: int = 10) -> TensorDict:
    generator = torch.Generator().manual_seed(seed)
    done = (torch.arange(count) % length == length - 1)[:, None]
    observation = torch.randn(count, 3, generator=generator) * 2 + 1
    action = 0.3 * torch.randn(count, 2, generator=generator) + torch.tensor([0.4, -0.2])
    following = {"reward": -(action**2).sum(-1, keepdim=True), "terminated": torch.zeros_like(done), "done": done}
    return TensorDict({"observation": observation, "action": action, "next": following}, [count])


DEMONSTRATIONS = rows(200, 1)


def learner(demonstrations: TensorDict | None = DEMONSTRATIONS, **sections: Any) -> DAPGLearner:
    torch.manual_seed(0)
    recipe = recipe_from_dict(
        {
            "name": "toy",
            "env": {"id": "toy"},
            "data": {"datasets": ["toy"], "normalize_observations": False},
            "algorithm": {"name": "dapg"},
            **sections,
        }
    )
    made = build_learner(recipe, FACTS, None, demonstrations=demonstrations)
    assert isinstance(made, DAPGLearner)
    return made


def begun(made: DAPGLearner, fresh: TensorDict) -> None:
    made.on_phase("online")
    made.on_round(fresh)


def test_begins_with_the_demonstrations_mean_and_deviation() -> None:
    made, action = learner(), DEMONSTRATIONS["action"]
    with torch.no_grad():
        found = made.policy.get_dist(DEMONSTRATIONS.select("observation"))
    torch.testing.assert_close(found.stddev[0], action.std(0, unbiased=False), rtol=1e-4, atol=1e-5)
    assert (found.mean - action.mean(0)).abs().max() < 0.02


def test_cloning_moves_the_mean_and_not_the_deviation() -> None:
    made = learner()
    std = made.policy[0].module.std_parameter.detach().clone()
    batch = TensorDict({"demonstrations": DEMONSTRATIONS[:32]}, [])
    errors = [float(made.update(batch)["loss_actor"]) for _ in range(300)]
    assert errors[-1] < 0.8 * errors[0]
    assert torch.equal(std, made.policy[0].module.std_parameter)


def test_a_round_is_one_policy_step_of_the_wanted_kl_and_then_baseline_updates() -> None:
    made, fresh = learner(), rows(400, 2)
    begun(made, fresh)
    with torch.no_grad():
        old = made.policy.get_dist(fresh.select("observation"))
    baseline = [parameter.clone() for parameter in made.loss.baseline.parameters()]
    out = made.update(fresh)
    assert all(torch.equal(one, two) for one, two in zip(baseline, made.loss.baseline.parameters(), strict=True))
    with torch.no_grad():
        new = made.policy.get_dist(fresh.select("observation"))
    divergence = float(torch.distributions.kl_divergence(old, new).mean())
    assert divergence == pytest.approx(0.025, rel=0.2)
    assert float(out["kl"]) == pytest.approx(0.025, rel=0.05)
    policy = [parameter.clone() for parameter in made.policy.parameters()]
    losses = [float(made.update(fresh)["loss_value"]) for _ in range(60)]
    assert losses[-1] < losses[0]
    assert all(torch.equal(one, two) for one, two in zip(policy, made.policy.parameters(), strict=True))


def test_rewards_rise() -> None:
    """Actions near 0 are better here; the demonstrations are not there."""
    made = learner(algorithm={"name": "dapg", "demonstration_weight": 0.0})
    made.on_phase("online")
    before = after = 0.0
    for round_ in range(15):
        fresh = rows(500, round_)
        with torch.no_grad():
            fresh["action"] = made.policy.get_dist(fresh.select("observation")).sample()
        fresh["next", "reward"] = -(fresh["action"] ** 2).sum(-1, keepdim=True)
        after = float(fresh["next", "reward"].mean())
        before = before or after
        made.on_round(fresh)
        for _ in range(10):
            made.update(fresh)
    assert after > 0.5 * before


@pytest.mark.parametrize(
    ("iteration", "expected"), [(0, 0.01), (1, 0.0095), (10, 0.005987369), (50, 0.000769450), (99, 0.0000623214)]
)
def test_the_weight_of_demonstrations_decays(iteration: int, expected: float) -> None:
    made, fresh = learner(), rows(20, 2)
    made.iteration = iteration
    begun(made, fresh)
    assert float(made.update(fresh)["demonstration_weight"]) == pytest.approx(expected, rel=1e-5)
    assert made.iteration == iteration + 1


def test_demonstrations_pull() -> None:
    """With a heavy weight and no difference between rewards, the step raises the likelihood of the demonstrations."""
    made, fresh = learner(algorithm={"name": "dapg", "demonstration_weight": 1.0}), rows(100, 2)
    fresh["next", "reward"] = torch.zeros(100, 1)
    begun(made, fresh)
    with torch.no_grad():
        before = made.policy.get_dist(DEMONSTRATIONS.select("observation")).log_prob(DEMONSTRATIONS["action"]).mean()
        torch.nn.init.zeros_(made.loss.baseline.last.weight)
        torch.nn.init.zeros_(made.loss.baseline.last.bias)
    made.update(fresh)
    with torch.no_grad():
        after = made.policy.get_dist(DEMONSTRATIONS.select("observation")).log_prob(DEMONSTRATIONS["action"]).mean()
    assert after > before


def test_the_deviation_has_a_floor() -> None:
    made, fresh = learner(algorithm={"name": "dapg", "log_std_floor": -1.0}), rows(100, 2)
    begun(made, fresh)
    made.update(fresh)
    with torch.no_grad():
        found = made.policy.get_dist(fresh.select("observation")).stddev
    assert float(found.min()) == pytest.approx(float(torch.tensor(-1.0).exp()), rel=1e-5)


def test_time_goes_on_where_an_episode_does() -> None:
    made, fresh = learner(), rows(24, 2)
    begun(made, fresh)
    assert (made._before, made._after) == (0, 4)
    made.on_round(fresh[:3])
    assert (made._before, made._after) == (4, 7)
    features, _ = made._of_round(fresh[:3])
    assert (features[:, 3] * 1000).tolist() == pytest.approx([4, 5, 6])
    made.on_round(fresh[:10])
    assert made._after == 0


def test_actions_count_as_they_were_drawn(small: Any) -> None:
    experiment = prepare(small("dapg").recipe)
    made = experiment.learner
    assert isinstance(made, DAPGLearner)
    with torch.no_grad():
        made.policy[0].module.std_parameter.fill_(4.0)
    fresh = experiment.collector_after(0).collect(20)
    begun(made, fresh)
    drawn, low, high = made._chosen(fresh), *experiment.action_bounds
    assert (drawn.abs() > high).any()
    torch.testing.assert_close(drawn.clamp(low, high), fresh["action"])
    assert torch.equal(made._chosen(fresh.exclude("noise")), fresh["action"])


@pytest.mark.parametrize("updates", [5, 20, 21, 30, 41])
def test_resumes_to_the_bit_in_every_part(
    updates: int, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cloning, the border, the policy's step, the baseline's updates, the second round."""
    whole = train(small("dapg"), run_dir=tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_after(patch, updates=updates)
        with pytest.raises(TrainingInterrupted):
            train(small("dapg"), run_dir=tmp_path / "stopped", quiet=True)
    stopped = train(small("dapg"), resume=tmp_path / "stopped", quiet=True)
    one, other = weights(whole), weights(stopped)
    assert any("baseline" in key for key in one)
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("buffer.n_steps=3", "buffer.n_steps"),
        ("hindsight.kept=0.5", "hindsight"),
        ("compile=true", "compile"),
        ("buffer.mix=0.5", "draws no rows online"),
        ("collect.workers=2", "needs episodes in order"),
        ("collect.async=true", "steps of the policy as it is now"),
    ],
)
def test_what_it_does_not_read_is_refused(override: str, message: str, small: Any) -> None:
    with pytest.raises(RecipeError, match=message):
        small("dapg", override)


def test_what_it_cannot_be_built_from() -> None:
    with pytest.raises(RecipeError, match="none were given"):
        learner(demonstrations=None)
    with pytest.raises(RecipeError, match="one vector, of a plain Gaussian"):
        learner(policy={"std": "dependent"})


def test_its_rounds_become_a_dataset(small: Any, tmp_path: Path) -> None:
    run = train(small("dapg"), run_dir=tmp_path / "run", quiet=True)
    assert dataset_from_run(run, tmp_path / "fresh.hdf5").transitions == 40
