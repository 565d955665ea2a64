"""DAPG's surrogate and what its baseline reads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from awac_tr.models.build import build_policy
from awac_tr.objectives.batch import BatchError
from awac_tr.objectives.dapg import DAPGLoss, baseline_features, following_values, steps_within_episodes
from awac_tr.recipes.schema import PolicySection


@pytest.fixture
def loss() -> DAPGLoss:
    torch.manual_seed(0)
    return DAPGLoss(build_policy(PolicySection(hidden_sizes=(5,), squash_mean=False), 3, 2), nn.Linear(7, 1)).double()


def rows(count: int, seed: int) -> TensorDict:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"observation": 3, "action": 2, "weight": 1}
    return TensorDict(
        {key: torch.randn(count, size, generator=generator, dtype=torch.float64) for key, size in sizes.items()},
        [count],
    )


@pytest.mark.parametrize(("fresh", "shown"), [(5, 3), (1, 1), (2, 40)])
def test_demonstrations_count_by_their_number(fresh: int, shown: int, loss: DAPGLoss) -> None:
    """(N + M) / N times the mean over both sets, times 1e-2."""
    one, other = rows(fresh, 1), rows(shown, 2)
    both = torch.cat([one, other])
    density = loss.actor_network.get_dist(both.select("observation")).log_prob(both["action"])
    expected = (fresh + shown) / fresh * (1e-2 * both["weight"][:, 0] * density).mean()
    torch.testing.assert_close(loss.surrogate(one, other), expected)


def test_each_term_reaches_its_own_network_only(loss: DAPGLoss) -> None:
    loss.surrogate(rows(4, 1), rows(2, 2)).backward()
    assert all(parameter.grad is None for parameter in loss.baseline.parameters())
    assert all(parameter.grad is not None for parameter in loss.actor_network_params.parameters())
    loss.zero_grad()
    data: Any = torch.ones(4, 7, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    loss.value_loss(*data)["loss_value"].backward()
    assert all(parameter.grad is not None for parameter in loss.baseline.parameters())
    assert all(parameter.grad is None for parameter in loss.actor_network_params.parameters())


def test_shapes_that_would_broadcast_are_refused(loss: DAPGLoss) -> None:
    one, other = rows(4, 1), rows(4, 2)
    with pytest.raises(BatchError, match="weight"):
        loss.surrogate(one.set("weight", one["weight"][:, 0]), other)
    with pytest.raises(BatchError, match="return"):
        loss.value_loss(torch.zeros(4, 7), torch.zeros(4))


def test_features_of_the_baseline() -> None:
    observation = torch.tensor([[20.0, -5.0, 0.0], [-11.0, 1.0, 2.0]])
    found = baseline_features(observation, torch.tensor([[0], [500]]))
    assert found[0].tolist() == pytest.approx([1.0, -0.5, 0.0, 0, 0, 0, 0])
    assert found[1].tolist() == pytest.approx([-1.0, 0.1, 0.2, 0.5, 0.25, 0.125, 0.0625])


def test_steps_are_counted_from_the_beginning_of_each_episode() -> None:
    done = torch.tensor([0, 0, 1, 0, 1, 1, 0, 0], dtype=torch.bool)[:, None]
    assert steps_within_episodes(done)[:, 0].tolist() == [0, 1, 2, 0, 1, 0, 0, 1]
    assert steps_within_episodes(done, before=10)[:, 0].tolist() == [10, 11, 12, 0, 1, 0, 0, 1]
    assert steps_within_episodes(torch.zeros(3, 1, dtype=torch.bool), before=2)[:, 0].tolist() == [2, 3, 4]


def test_values_do_not_come_from_the_next_episode() -> None:
    value = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    ends = TensorDict({"next": {"done": torch.tensor([[False], [True], [False], [False]])}}, [4])
    assert following_values(value, ends)[:, 0].tolist() == [2, 2, 4, 4]
