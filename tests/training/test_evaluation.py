"""Evaluation is a function of policy and seeds, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from awac_tr.envs.rollout import Episode
from awac_tr.policies.build import build_policy
from awac_tr.policies.controllers import RandomController
from awac_tr.recipes.schema import PolicySection
from awac_tr.training.evaluation import evaluate_policy

POLICY = build_policy(PolicySection(hidden_sizes=(8,)), 39, 28)


def evaluate(**changes: object) -> dict[str, float]:
    arguments = {"horizon": 15, "episodes": 3, "seed": 5, "action": "sample", **changes}
    return evaluate_policy(POLICY, "door-binary-v0", **arguments)  # type: ignore[arg-type]


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
    assert evaluate_policy(controller, "door-binary-v0", horizon=5, episodes=1, seed=0)["length"] == 5


def test_it_can_be_stopped_between_episodes() -> None:
    seen: list[Episode] = []

    def check() -> None:
        seen.append(None)  # type: ignore[arg-type]
        if len(seen) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluate(check=check)
    assert len(seen) == 2
