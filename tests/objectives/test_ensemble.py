"""Critics evaluated together: where gradient flows, and the minimum over a drawn few of many."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tensordict import TensorDict

from awac_tr.objectives.ensemble import some_critics

ROWS = ("ordinary", "terminal", "truncated")


@pytest.mark.parametrize("deactivate_vmap", [False, True])
def test_gradient_through_the_critics_to_the_action(deactivate_vmap: bool, make_loss: Any, transitions: Any) -> None:
    """What an actor that is trained through Q needs (SAC, TD3+BC): by both inputs, and not to the critics."""
    loss, batch = make_loss(deactivate_vmap=deactivate_vmap), transitions(*ROWS)
    states = [batch.copy(), batch[:2].copy()]
    for each in states:
        each["action"] = each["action"].clone().requires_grad_()
    first, second = loss._qvalues(loss.qvalue_network_params.detach(), *states)
    (first.min(0)[0].sum() + second.min(0)[0].sum()).backward()
    assert all((each["action"].grad.abs().sum(-1) > 0).all() for each in states)
    assert all(value.grad is None for value in loss.parameters())
    for each in states:
        slope = torch.func.grad(lambda action, each=each: _smallest(loss, each, action))(each["action"].detach())
        assert torch.allclose(each["action"].grad, slope, rtol=1e-9)


def _smallest(loss: Any, states: TensorDict, action: torch.Tensor) -> torch.Tensor:
    (values,) = loss._qvalues(loss.qvalue_network_params.detach(), states.copy().set("action", action))
    smallest: torch.Tensor = values.min(0)[0].sum()
    return smallest


def test_inputs_beyond_the_differentiated_have_no_gradient(make_loss: Any, transitions: Any) -> None:
    loss, batch = make_loss(), transitions(*ROWS)
    wanted = [value.requires_grad for value in loss._qvalues(loss.qvalue_network_params, batch, batch, batch)]
    some = loss._qvalues(loss.qvalue_network_params, batch, batch, batch, differentiated=1)
    assert wanted == [True, True, True]
    assert [value.requires_grad for value in some] == [True, False, False]


def test_a_few_of_many_critics(make_loss: Any, transitions: Any) -> None:
    """RLPD's target: the minimum over 2 of 5 target critics, drawn anew at each call."""
    loss, batch = make_loss(count=5, sub_sample_len=2), transitions(*ROWS)
    seen = set()
    for _ in range(40):
        params = some_critics(loss.target_qvalue_network_params, 2)
        assert params.batch_size == (2,)
        bias = params.get(("module", "mlp", "last", "bias"))[:, 0].tolist()
        every = loss.target_qvalue_network_params.get(("module", "mlp", "last", "bias"))[:, 0].tolist()
        seen.add(frozenset(every.index(value) for value in bias))
    assert all(len(pair) == 2 for pair in seen)
    assert len(seen) > 6
    (values,) = loss._qvalues(loss.target_qvalue_network_params, batch)
    for seed in range(5):
        torch.manual_seed(seed)
        drawn = torch.randperm(5)[:2]
        torch.manual_seed(seed)
        assert torch.equal(loss._target_qvalues(batch, batch["action"]), values[drawn])


@pytest.mark.parametrize("count", [0, 3])
def test_more_than_there_are(count: int, make_loss: Any) -> None:
    with pytest.raises(ValueError, match=f"sub_sample_len is {count}, it must be from 1 to 2 critics"):
        make_loss(sub_sample_len=count)
