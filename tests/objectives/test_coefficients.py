"""Numbers of a loss that may change while it trains: buffers, checked, saved, and seen by compiled code."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torchrl.objectives import ValueEstimators

from awac_tr.objectives import AWACLoss

ROWS = ("ordinary", "terminal", "truncated")
NAMES = ("temperature", "advantage_max", "weight_max", "value_bounds")
CHANGES: dict[str, Any] = {"temperature": 0.7, "advantage_max": -0.1, "weight_max": 0.5, "value_bounds": (0.1, None)}


@pytest.fixture
def batch(transitions: Any) -> TensorDict:
    return transitions(*ROWS)


def test_are_in_the_state_dict_open_ones_as_infinity(make_loss: Any) -> None:
    state = make_loss(temperature=0.5).state_dict()
    found = {name: state[name].tolist() for name in NAMES}
    inf = math.inf
    assert found == {"temperature": 0.5, "advantage_max": inf, "weight_max": inf, "value_bounds": [-inf, inf]}


@pytest.mark.parametrize("name", NAMES)
def test_set_later_is_as_given_at_first(name: str, values: Any, make_loss: Any, batch: TensorDict) -> None:
    loss = make_loss()
    plain, buffer = values(loss, batch), getattr(loss, name)
    setattr(loss, name, CHANGES[name])
    assert getattr(loss, name) is buffer, "a compiled update holds on to it"
    assert values(loss, batch) == values(make_loss(**{name: CHANGES[name]}), batch) != plain
    other = make_loss()
    other.load_state_dict(loss.state_dict())
    assert values(other, batch) == values(loss, batch)
    setattr(loss, name, {"temperature": torch.tensor(0.3), "value_bounds": (None, None)}.get(name))
    assert values(loss, batch) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("temperature", 0.0, "temperature is 0.0, it must be above 0"),
        ("temperature", math.nan, "temperature is nan"),
        ("weight_max", -1.0, "weight_max is -1.0, it must be above 0"),
        ("advantage_max", math.nan, "advantage_max is nan"),
        ("value_bounds", (0.0, -1.0), r"value_bounds \(0.0, -1.0\) must be \(low, high\)"),
    ],
)
def test_out_of_range(name: str, value: Any, message: str, make_loss: Any) -> None:
    loss = make_loss()
    before = getattr(loss, name).clone()
    with pytest.raises(ValueError, match=message):
        setattr(loss, name, value)
    assert torch.equal(getattr(loss, name), before)
    with pytest.raises(ValueError, match=message):
        make_loss(**{name: value})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_are_as_exact_as_the_networks(dtype: torch.dtype, make_loss: Any) -> None:
    assert make_loss(dtype=dtype).temperature.dtype is dtype
    assert make_loss(dtype=torch.bfloat16).temperature.dtype is torch.float32


def test_a_state_from_before_they_were_saved(
    values: Any, make_loss: Any, batch: TensorDict, caplog: pytest.LogCaptureFixture
) -> None:
    loss, other = make_loss(temperature=0.7, weight_max=2.0), make_loss(temperature=0.7, weight_max=2.0)
    with torch.no_grad():
        for value in loss.parameters():
            value.mul_(1.5)
    state = {name: value for name, value in loss.state_dict().items() if name not in NAMES}
    with caplog.at_level(logging.INFO, "awac_tr"):
        other.load_state_dict(state)
    assert "without temperature, advantage_max, weight_max, value_bounds: kept as constructed" in caplog.text
    assert not set(NAMES) & set(state)
    assert values(other, batch) == values(loss, batch)


def test_a_state_that_lost_one_is_refused(make_loss: Any) -> None:
    state = make_loss().state_dict()
    del state["weight_max"]
    with pytest.raises(RuntimeError, match="weight_max"):
        make_loss().load_state_dict(state)


@pytest.mark.parametrize("gamma", [1.5, -0.1, math.nan, torch.tensor([0.9, 1.1])])
def test_discounts_out_of_range(gamma: Any, make_loss: Any) -> None:
    loss = make_loss()
    before = loss.value_estimator.gamma.item()
    with pytest.raises(ValueError, match="it must be from 0 to 1"):
        loss.make_value_estimator(ValueEstimators.TD0, gamma=gamma)
    assert loss.value_estimator.gamma.item() == before


def test_a_weight_that_overflows_is_at_no_cap(values: Any, make_loss: Any, batch: TensorDict) -> None:
    out = values(make_loss(temperature=1e-5), batch)
    assert out["weight_max"] == math.inf
    assert out["capped_fraction"] == 0


@pytest.mark.filterwarnings("ignore")  # the tracer warns of code of torch and tensordict
def test_are_seen_by_whoever_compiles_the_loss(values: Any, make_loss: Any, batch: TensorDict) -> None:
    def loss() -> AWACLoss:
        made: AWACLoss = make_loss(value_estimate="mean", policy={"log_std_max": -1.9})
        _ = made.vmap_randomness
        return made

    eager, other = loss(), loss()
    compiled = torch.compile(other, backend="eager", fullgraph=True)
    for temperature in (0.3, 0.9):
        eager.temperature = other.temperature = temperature
        assert values(compiled, batch) == pytest.approx(values(eager, batch), rel=1e-9)
        assert batch.pop("td_error").shape == (3,)
