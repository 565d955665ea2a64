"""Gradients of both losses against central differences in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

ROWS = ("ordinary", "terminal", "truncated")
STEP = 1e-6


def check_slopes(value: Callable[[], Tensor], parameter: Tensor, gradient: Tensor | None, name: str) -> None:
    """Along three random directions the gradient must give the slope of the value; parameters are put back."""
    assert gradient is not None, name
    kept = parameter.data.clone()
    for _ in range(3):
        direction, ends = torch.randn_like(kept), []
        for sign in (1, -1):
            parameter.data.copy_(kept + sign * STEP * direction)
            ends.append(value().item())
        parameter.data.copy_(kept)
        slope = (ends[0] - ends[1]) / (2 * STEP)
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-7), name


def seeded(loss: Any, batch: Any) -> Any:
    torch.manual_seed(3)
    return loss(batch)


@pytest.mark.parametrize("policy", [{}, {"std": "dependent"}, {"distribution": "tanh_normal"}], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"weighting": "softmax", "value_samples": 2}, {"value_estimate": "mean"}], ids=str
)
def test_actor_gradient_holds_the_weights_fixed(
    options: dict[str, Any], policy: dict[str, Any], make_loss: Any, transitions: Any
) -> None:
    """d/dtheta of -mean(w log pi) with w as it was: V(s) depends on theta through its actions, and must not count."""
    loss, batch = make_loss(policy=policy, **options), transitions(*ROWS)
    seeded(loss, batch)["loss_actor"].backward()
    loss.reduction = "none"

    def log_prob() -> Tensor:
        with torch.no_grad():
            value: Tensor = loss.actor_network.get_dist(batch.clone(False)).log_prob(batch["action"])
        return value

    weights = (-seeded(loss, batch)["loss_actor"].detach() / log_prob()).clone()
    for name, parameter in loss.actor_network.named_parameters():
        check_slopes(lambda: -(weights * log_prob()).mean(), parameter, parameter.grad, name)


@pytest.mark.parametrize(
    "options", [{}, {"deactivate_vmap": True}, {"loss_function": "smooth_l1", "value_bounds": (0.1, 0.5)}], ids=str
)
def test_critic_gradient(options: dict[str, Any], make_loss: Any, transitions: Any) -> None:
    loss, batch = make_loss(**options), transitions(*ROWS)
    seeded(loss, batch)["loss_qvalue"].backward()
    for name, parameter in loss.qvalue_network_params.items(True, True):
        if parameter.requires_grad:
            check_slopes(lambda: seeded(loss, batch)["loss_qvalue"], parameter, parameter.grad, name)


def test_one_backward_pass_for_both(make_loss: Any, transitions: Any) -> None:
    """The sum of the losses gives each parameter the gradient of its own loss."""
    loss, batch = make_loss(), transitions(*ROWS)
    apart = {}
    for name in ("loss_actor", "loss_qvalue"):
        seeded(loss, batch)[name].backward()
        apart |= {key: p.grad.clone() for key, p in loss.named_parameters() if p.grad is not None}
        loss.zero_grad(set_to_none=True)
    out = seeded(loss, batch)
    (out["loss_actor"] + out["loss_qvalue"]).backward()
    for key, parameter in loss.named_parameters():
        assert torch.allclose(parameter.grad, apart[key], rtol=1e-12, atol=0), key
