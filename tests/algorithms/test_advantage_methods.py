"""ABM and MPO as learners: what their presets say, compiled updates, and keys that would have no effect."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tensordict import TensorDict

from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.gradient_learner import GradientLearner
from awac_tr.algorithms.hardware import cannot_compile
from awac_tr.envs.env_info import EnvInfo
from awac_tr.errors import RecipeError
from awac_tr.objectives import ABMLoss, MPOLoss
from awac_tr.recipes.loader import recipe_from_dict

FACTS = EnvInfo("toy", 10, (-1.0, 0.0), None, None, 3, 2)
CPU = torch.device("cpu")


def learner(compiled: bool = False, **algorithm: Any) -> GradientLearner:
    torch.manual_seed(0)
    made = build_learner(
        recipe_from_dict(
            {
                "name": "toy",
                "env": {"id": "toy"},
                "data": {"datasets": ["toy"]},
                "policy": {"hidden_sizes": [8]},
                "qvalue": {"hidden_sizes": [8]},
                "compile": compiled,
                "algorithm": algorithm,
            }
        ),
        FACTS,
        None,
    )
    assert isinstance(made, GradientLearner)
    return made


def batch(seed: int = 1, size: int = 16) -> TensorDict:
    generator = torch.Generator().manual_seed(seed)
    end = torch.rand(size, 1, generator=generator) > 0.7
    return TensorDict(
        {
            "observation": torch.randn(size, 3, generator=generator),
            "action": torch.rand(size, 2, generator=generator) * 2 - 1,
            "next": {
                "observation": torch.randn(size, 3, generator=generator),
                "reward": -torch.ones(size, 1),
                "terminated": end,
                "truncated": torch.zeros_like(end),
                "done": end,
            },
        },
        batch_size=[size],
    )


def test_presets_of_abm() -> None:
    paper, authors = learner(name="abm").loss, learner(name="abm", preset="authors").loss
    assert isinstance(paper, ABMLoss)
    assert (paper.weighting, paper.prior_weighting, paper.prior_value) == ("exp", "indicator", "policy")
    assert (paper.temperature.item(), paper.weight_max.item()) == (pytest.approx(0.3), 20)
    assert isinstance(authors, ABMLoss)
    assert (authors.weighting, authors.prior_weighting, authors.prior_value) == ("softmax", "softmax", "prior")
    assert (authors.advantage_max.item(), authors.weight_max.item()) == (2, float("inf"))
    assert authors.ignore_terminals


def test_presets_of_mpo() -> None:
    paper, authors, flawed = (learner(name="mpo", preset=name).loss for name in ("paper", "authors", "authors-flawed"))
    assert isinstance(paper, MPOLoss)
    assert (paper.samples, paper.weighting, paper.detach) == (20, "samples", True)
    assert isinstance(authors, MPOLoss)
    assert (authors.samples, authors.weighting, authors.detach) == (1, "batch", True)
    assert isinstance(flawed, MPOLoss)
    assert not flawed.detach


def test_the_prior_of_abm_is_not_the_policy_and_learns_too() -> None:
    made = learner(name="abm", prior_weighting="exp")
    actor, prior = (getattr(made.loss, f"{name}_network_params") for name in ("actor", "prior"))
    key = ("module", "0", "module", "mlp", "last", "weight")
    before = [params.get(key).detach().clone() for params in (actor, prior)]
    assert not torch.equal(*before)
    made.update(batch())
    assert all(not torch.equal(params.get(key), old) for params, old in zip((actor, prior), before, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "abm"},
        {"name": "mpo"},
        {"name": "mpo", "target_kl": 0.1},
        {"name": "awac", "behaviour_model": True, "partition_samples": 3, "target_kl": 0.1},
        {"name": "bear", "warm_start": 2, "cvae_hidden_sizes": [8]},
        {"name": "bcq", "cvae_hidden_sizes": [8], "perturbation_hidden_sizes": [8]},
    ],
    ids=lambda algorithm: "-".join(list(algorithm.values())[0:1] + list(algorithm)[1:2]),
)
@pytest.mark.skipif(cannot_compile(CPU) is not None, reason="cannot compile here")
def test_compiled_updates_are_those_of_eager_ones(algorithm: dict[str, Any]) -> None:
    found = []
    for compiled in (True, False):
        made = learner(compiled, **algorithm)
        torch.manual_seed(1)
        for seed in range(4):
            row = made.update(batch(seed))
        if hasattr(made.loss, "temperature"):
            made.loss.temperature = 0.1  # a coefficient that changes is seen
        row = made.update(batch(9))
        found.append({key: float(value) for key, value in row.items()})
    torch._dynamo.reset()
    assert found[0] == pytest.approx(found[1], rel=2e-3, abs=2e-4)


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ({"name": "mpo", "samples": 1}, "the softmax over a single sample is 1"),
        ({"name": "mpo", "advantage_max": 2.0}, "no effect with algorithm.weighting samples"),
        ({"name": "mpo", "value_estimate": "mean"}, "no effect with algorithm.weighting samples"),
        ({"name": "abm", "weighting": "sign", "advantage_max": 2.0}, "no effect on indicators and signs"),
        ({"name": "abm", "value_estimate": "mean", "value_samples": 3}, "no effect with algorithm.value_estimate mean"),
    ],
)
def test_keys_without_effect_are_refused(algorithm: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        learner(**algorithm)
