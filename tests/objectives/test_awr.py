"""AWR's two losses in numpy, its weights, and who gets which gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.models.build import build_policy, build_value
from awac_tr.objectives.awr import AWRLoss
from awac_tr.objectives.batch import BatchError
from awac_tr.recipes.schema import PolicySection, QValueSection


@pytest.fixture
def make_awr() -> Callable[..., AWRLoss]:
    def build(low: float = -1.0, high: float = 1.0, size: int = 2, **options: Any) -> AWRLoss:
        torch.manual_seed(0)
        bounds = {"action_low": [low] * size, "action_high": [high] * size}
        policy = build_policy(PolicySection(hidden_sizes=(5,), squash_mean=False), 3, size, **bounds).double()
        value = build_value(QValueSection(hidden_sizes=(4,)), 3).double()
        for parameter in (*policy.parameters(), *value.parameters()):
            torch.nn.init.normal_(parameter, std=1.5)
        return AWRLoss(policy, value, **{name: torch.tensor(bound) for name, bound in bounds.items()}, **options)

    return build


def batch(rows: int = 6, size: int = 2) -> TensorDict:
    generator = torch.Generator().manual_seed(1)

    def normal(width: int) -> torch.Tensor:
        return torch.randn(rows, width, generator=generator, dtype=torch.float64)

    entries = {"observation": normal(3), "action": normal(size), "return": 50 * normal(1), "weight": normal(1).exp()}
    return TensorDict(entries, [rows])


def test_value_loss_is_half_the_squared_error_of_v_over_its_scale(make_awr: Any) -> None:
    loss, rows = make_awr(scale=100.0), batch()
    values = loss.values(rows["observation"])
    expected = 0.5 * np.mean(((values - rows["return"]).numpy() / 100) ** 2)
    out = loss.value_loss(rows)
    assert out["loss_value"].item() == pytest.approx(expected)
    assert out["value"].item() == pytest.approx(values.mean().item())


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-3.0, 1.0)])
def test_actor_loss(bounds: tuple[float, float], make_awr: Any) -> None:
    """The overshoot is summed over the dimensions and averaged over the batch, in units of half the range."""
    loss, rows = make_awr(*bounds), batch()
    policy = loss.actor_network.get_dist(rows.select("observation"))
    mean, std = (x.detach().numpy() for x in (policy.mean, policy.base_dist.scale))
    middle, half = sum(bounds) / 2, (bounds[1] - bounds[0]) / 2
    density = -0.5 * ((rows["action"].numpy() - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    overshoot = (np.maximum(np.abs((mean - middle) / half) - 1, 0) ** 2).sum(1).mean()
    out = loss.actor_loss(rows)
    assert overshoot > 0.1
    assert out["out_of_bounds"].item() == pytest.approx(overshoot)
    imitation = -(rows["weight"][:, 0].numpy() * density.sum(1)).mean()
    assert out["loss_actor"].item() == pytest.approx(imitation + 5 * overshoot)


def test_weights_are_capped(make_awr: Any) -> None:
    loss = make_awr()
    weights, diagnostics = loss.weights(torch.tensor([[3.5], [0.0], [-1.0]], dtype=torch.float64))
    assert weights[:, 0].tolist() == pytest.approx([20.0, 1.0, np.exp(-1)])
    assert diagnostics["capped_fraction"].item() == pytest.approx(1 / 3)
    loss.temperature = 2.0
    assert loss.weights(torch.tensor([[1.0]], dtype=torch.float64))[0].item() == pytest.approx(np.exp(0.5))


@pytest.mark.parametrize(("name", "reached"), [("value_loss", "value"), ("actor_loss", "actor")])
def test_each_loss_reaches_its_own_network_only(name: str, reached: str, make_awr: Any) -> None:
    loss = make_awr()
    out = getattr(loss, name)(batch())
    torch.autograd.backward([value for key, value in out.items() if key.startswith("loss_")])
    for each in ("value", "actor"):
        found = [parameter.grad is not None for parameter in getattr(loss, f"{each}_network_params").parameters()]
        assert any(found) is (each == reached)
        assert all(found) is (each == reached)


@pytest.mark.parametrize("rows", [1, 2])
def test_small_batches_and_one_dimension(rows: int, make_awr: Any) -> None:
    loss, data = make_awr(size=1), batch(rows, size=1)
    assert loss.values(data["observation"]).shape == (rows, 1)
    assert all(
        value.isfinite() for name in ("value_loss", "actor_loss") for value in getattr(loss, name)(data).values()
    )


def test_shapes_that_would_broadcast_are_refused(make_awr: Any) -> None:
    loss, data = make_awr(), batch()
    for key, name in (("return", "value_loss"), ("weight", "actor_loss")):
        flat = data.clone().set(key, data[key][:, 0])
        with pytest.raises(BatchError, match=key):
            getattr(loss, name)(flat)
