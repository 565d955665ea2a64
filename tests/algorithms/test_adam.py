"""Adam: torch's own numbers, step by step, also after its state was replaced."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from awac_tr.algorithms.adam import AdamSteps, adam, load_adam

RATES = ((3e-4, 1e-4), (1e-3, 0.0))


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 4), (4,), (2, 5, 1), ())]


def gradients(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(value.shape, generator=generator) for value in parameters()]


def made(values: list[torch.nn.Parameter]) -> torch.optim.Adam:
    return adam((values[:2], *RATES[0]), (values[2:], *RATES[1]))


def by_torch(updates: int) -> list[torch.nn.Parameter]:
    """The plain implementation, neither fused nor foreach."""
    values = parameters()
    groups = [
        {"params": part, "lr": lr, "weight_decay": decay}
        for part, (lr, decay) in zip((values[:2], values[2:]), RATES, strict=True)
    ]
    optimizer = torch.optim.Adam(groups, foreach=False, fused=False)
    for seed in range(updates):
        for value, gradient in zip(values, gradients(seed), strict=True):
            value.grad = gradient
        optimizer.step()
    return values


def test_steps_are_those_of_adam() -> None:
    values = parameters()
    step = AdamSteps(made(values))
    for seed in range(20):
        step(gradients(seed))
    for mine, theirs, start in zip(values, by_torch(20), parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)
        assert (mine - start).abs().max() > 1e-3


@pytest.mark.parametrize("forget", [True, False])
def test_a_replaced_state_must_be_gathered_anew(forget: bool) -> None:
    values = parameters()
    optimizer = made(values)
    step = AdamSteps(optimizer)
    for seed in range(5):
        step(gradients(seed))
    state, kept = optimizer.state_dict(), [value.detach().clone() for value in values]
    load_adam(optimizer, state)
    if forget:
        step.forget()
    step(gradients(5))
    assert float(optimizer.state[values[0]]["step"]) == (6 if forget else 5)
    assert all(not torch.equal(value, before) for value, before in zip(values, kept, strict=True))


@pytest.mark.parametrize("form", ["number", "tensor", "scheduler"])
@pytest.mark.parametrize("on_device", [False, True])
def test_rates_that_change_act_at_the_next_step(on_device: bool, form: str) -> None:
    """As torch's own optimiser does, also where a recorded step reads the rate from the device."""
    found = []
    for fused in (True, False):
        values = parameters()
        groups = [{"params": values[:2], "lr": 3e-4}, {"params": values[2:], "lr": 1e-3}]
        optimizer = torch.optim.Adam(groups, fused=fused, capturable=on_device and fused)
        steps, schedule = AdamSteps(optimizer), torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.1**t)
        for seed in range(4):
            if fused:
                steps.update_rates()
                steps(gradients(seed))
            else:
                for value, gradient in zip(values, gradients(seed), strict=True):
                    value.grad = gradient
                optimizer.step()
            if form == "scheduler":
                schedule.step()
                continue
            for group in optimizer.param_groups:
                rate = float(group["lr"]) * 0.1
                group["lr"] = torch.tensor(rate, dtype=torch.float64) if form == "tensor" and fused else rate
        found.append(values)
    for mine, theirs, start in zip(*found, parameters(), strict=True):
        torch.testing.assert_close(mine - start, theirs - start, rtol=1e-4, atol=1e-6)


def test_other_hyperparameters_are_read_at_every_step() -> None:
    values = parameters()
    optimizer = made(values)
    step = AdamSteps(optimizer)
    step(gradients(0))
    first = step.fixed()
    kept = [value.detach().clone() for value in values]
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.0, 0.5
    assert step.fixed() != first
    step(gradients(1))
    assert all(torch.equal(value, before) for value, before in zip(values, kept, strict=True))
