"""Small networks and batches for the losses: double precision, so that formulas are compared tightly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torchrl.objectives import SoftUpdate, ValueEstimators

from awac_tr.models.build import build_policy, build_qvalues, set_observation_statistics
from awac_tr.objectives import AWACLoss
from awac_tr.recipes.schema import PolicySection, QValueSection

OBSERVATION_SIZE, ACTION_SIZE, GAMMA = 3, 2, 0.75
END = {"ordinary": (False, False), "terminal": (True, False), "truncated": (False, True)}


@pytest.fixture
def transitions() -> Callable[..., TensorDict]:
    """transitions("ordinary", "terminal", ...): a batch with one row for each name."""

    def build(*rows: str, seed: int = 1, dtype: torch.dtype = torch.float64) -> TensorDict:
        rng, n = torch.Generator().manual_seed(seed), len(rows)

        def normal(size: int) -> torch.Tensor:
            return torch.randn(n, size, generator=rng, dtype=dtype)

        terminated, truncated = (torch.tensor([[END[row][i]] for row in rows]) for i in range(2))
        following = {
            "observation": normal(OBSERVATION_SIZE),
            "reward": normal(1),
            "terminated": terminated,
            "truncated": truncated,
            "done": terminated | truncated,
        }
        action = torch.tanh(normal(ACTION_SIZE)) * 0.9
        return TensorDict({"observation": normal(OBSERVATION_SIZE), "action": action, "next": following}, [n])

    return build


@pytest.fixture
def networks() -> Callable[..., tuple[Any, list[Any]]]:
    """networks(distribution="normal", ...): a policy and two critics that differ, standardising observations."""

    def build(*, count: int = 2, dtype: torch.dtype = torch.float64, **policy: Any) -> tuple[Any, list[Any]]:
        torch.manual_seed(7)
        actor = build_policy(
            PolicySection(hidden_sizes=(5, 4), log_std_min=-2.0, **policy), OBSERVATION_SIZE, ACTION_SIZE
        )
        critics = build_qvalues(QValueSection(hidden_sizes=(6, 4), count=count), OBSERVATION_SIZE, ACTION_SIZE)
        for module in (actor, *critics):
            set_observation_statistics(module, [0.1, -0.2, 0.3], [1.5, 0.5, 2.0])
            module.to(dtype)
        for module in (actor, *critics):  # away from small initial outputs: every term must count
            for parameter in module.parameters():
                torch.nn.init.normal_(parameter, std=0.6)
        return actor, critics

    return build


@pytest.fixture
def make_loss(networks: Callable[..., tuple[Any, list[Any]]]) -> Callable[..., AWACLoss]:
    """make_loss(temperature=..., ...): gamma 0.75, and target critics that differ from the critics."""

    def build(
        *, policy: dict[str, Any] | None = None, count: int = 2, dtype: torch.dtype = torch.float64, **options: Any
    ) -> AWACLoss:
        loss = AWACLoss(*networks(count=count, dtype=dtype, **(policy or {})), **options)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=GAMMA)
        SoftUpdate(loss, tau=0.5)
        for target in loss.target_qvalue_network_params.data.values(True, True):
            target.mul_(1.25)
        return loss

    return build


@pytest.fixture
def values() -> Callable[[AWACLoss, TensorDict], dict[str, float]]:
    """values(loss, batch): all outputs as numbers, drawn from the same seed every time."""

    def evaluate(loss: AWACLoss, batch: TensorDict) -> dict[str, float]:
        torch.manual_seed(3)
        return {key: value.item() for key, value in loss(batch).items()}

    return evaluate
