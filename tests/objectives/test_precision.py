"""bfloat16 in the hidden layers must leave the advantages alone: at Q near -90 its step is 0.5, lambda is 0.3."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor
from torchrl.objectives import SoftUpdate

from awac_tr.models.build import build_policy, build_qvalues
from awac_tr.objectives import AWACLoss
from awac_tr.recipes.schema import PolicySection, QValueSection

TOLERANCE = 0.1
"""Root mean square of what bfloat16 adds to an advantage, in units of return: a third of the paper's lambda."""


def far_below(observation: Tensor, action: Tensor) -> Tensor:
    return -90 + 8 * torch.tanh(observation[:, :1]) + 2 * torch.sin(2 * action[:, :1]) * torch.cos(observation[:, 1:2])


@pytest.fixture(scope="module")
def critics() -> list[Any]:
    """Two float32 critics fitted to values near -90, carried by their activations, not by one bias."""
    torch.manual_seed(0)
    out = build_qvalues(QValueSection(hidden_sizes=(64, 64)), 4, 2)
    for critic in out:
        optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3, fused=True)
        for _ in range(500):
            observation, action = torch.randn(128, 4), torch.rand(128, 2) * 2 - 1
            error = (critic.module(observation, action) - far_below(observation, action)).square().mean()
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
    return out


def in_bf16(critics: list[Any]) -> list[Any]:
    out = copy.deepcopy(critics)
    for critic in out:
        critic.module.mlp.precision = "bf16"
    return out


def advantages(critic: Any) -> Tensor:
    torch.manual_seed(1)
    observation, actions = torch.randn(1024, 4), torch.rand(2, 1024, 2) * 2 - 1
    with torch.no_grad():
        value: Tensor = critic.module(observation, actions[0]) - critic.module(observation, actions[1])
    assert value.dtype is torch.float32
    return value


def rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def test_advantages_agree_with_fp32(critics: list[Any]) -> None:
    for critic, lower in zip(critics, in_bf16(critics), strict=True):
        exact = advantages(critic)
        assert rms(exact) > 1, "the critics must have something to say"
        assert 0 < rms(advantages(lower) - exact) < TOLERANCE


def test_the_tolerance_catches_a_last_layer_in_bf16(critics: list[Any]) -> None:
    lower = copy.deepcopy(critics[0])
    exact = advantages(lower)
    lower.module.mlp.last.register_forward_hook(lambda *args: args[-1].to(torch.bfloat16).float())
    assert rms(advantages(lower) - exact) > 1.5 * TOLERANCE


@pytest.mark.parametrize("vmap", [True, False])
def test_loss_agrees_with_fp32(vmap: bool, critics: list[Any]) -> None:
    torch.manual_seed(2)
    actor = build_policy(PolicySection(hidden_sizes=(16,)), 4, 2)
    n = 512
    following = {
        "observation": torch.randn(n, 4),
        "reward": -torch.ones(n, 1),
        "terminated": torch.zeros(n, 1, dtype=torch.bool),
    }
    batch = TensorDict({"observation": torch.randn(n, 4), "action": torch.rand(n, 2) * 2 - 1, "next": following}, [n])
    outs = []
    for q in (critics, in_bf16(critics)):
        loss = AWACLoss(actor, q, value_estimate="mean", temperature=0.3, deactivate_vmap=not vmap)
        SoftUpdate(loss, tau=0.5)
        torch.manual_seed(3)
        outs.append(loss(batch))
    exact, lower = outs
    assert all(value.dtype is torch.float32 for value in lower.values())
    assert lower["advantage"].item() == pytest.approx(exact["advantage"].item(), abs=TOLERANCE / 5)
    assert lower["target_value"].item() == pytest.approx(exact["target_value"].item(), abs=0.2)
    assert lower["effective_sample_size"].item() == pytest.approx(exact["effective_sample_size"].item(), rel=0.2)
    lower["loss_qvalue"].backward()
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in loss.qvalue_network_params.parameters())
