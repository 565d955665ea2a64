"""Weights worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from awac_tr.objectives.weights import capped, effective_sample_size, exp_weights, softmax_weights

LN2 = math.log(2)
ADVANTAGE = torch.tensor([0.0, LN2, -LN2])


def test_exp() -> None:
    assert exp_weights(ADVANTAGE, 1.0).tolist() == pytest.approx([1, 2, 0.5])
    assert exp_weights(ADVANTAGE, 0.5).tolist() == pytest.approx([1, 4, 0.25])


def test_softmax_sums_to_the_batch_size() -> None:
    assert softmax_weights(ADVANTAGE, 1.0).tolist() == pytest.approx([6 / 7, 12 / 7, 3 / 7])
    assert softmax_weights(torch.randn(4, 3) * 50, 0.3).sum().item() == pytest.approx(12)


@pytest.mark.parametrize("weigh", [exp_weights, softmax_weights])
def test_one_sample(weigh: object) -> None:
    assert callable(weigh)
    assert weigh(torch.tensor([0.0]), 0.3).tolist() == [1.0]


def test_caps() -> None:
    assert exp_weights(ADVANTAGE, 1.0, advantage_max=0.0).tolist() == pytest.approx([1, 1, 0.5])
    assert exp_weights(ADVANTAGE, 1.0, weight_max=1.5).tolist() == pytest.approx([1, 1.5, 0.5])
    assert softmax_weights(ADVANTAGE, 1.0, advantage_max=0.0).tolist() == pytest.approx([1.2, 1.2, 0.6])
    assert softmax_weights(ADVANTAGE, 1.0, weight_max=1.0).tolist() == pytest.approx([6 / 7, 1, 3 / 7])


def test_no_hidden_cap() -> None:
    assert exp_weights(torch.tensor([26.0]), 0.3).item() == pytest.approx(math.exp(26 / 0.3), rel=1e-4)
    assert exp_weights(torch.tensor([27.0]), 0.3).isinf().all()
    assert softmax_weights(torch.tensor([1000.0, 0.0]), 0.3).tolist() == [2.0, 0.0]


def test_capped() -> None:
    def share(**caps: float) -> list[bool]:
        out: list[bool] = capped(ADVANTAGE, exp_weights(ADVANTAGE, 1.0, **caps), **caps).tolist()
        return out

    assert share() == [False, False, False]
    assert share(advantage_max=0.1) == [False, True, False]
    assert share(weight_max=0.9) == [True, True, False]
    assert share(advantage_max=-0.1, weight_max=10.0) == [True, True, False]


def test_effective_sample_size() -> None:
    assert effective_sample_size(torch.ones(7)).item() == pytest.approx(7)
    assert effective_sample_size(torch.tensor([0.0, 5.0])).item() == pytest.approx(1)
    assert effective_sample_size(torch.tensor([1.0, 3.0])).item() == pytest.approx(1.6)
    assert effective_sample_size(torch.tensor([1e30, 1e30])).item() == pytest.approx(2)
    assert effective_sample_size(torch.zeros(3)).item() == 0
