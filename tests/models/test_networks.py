"""The networks: shapes, precision, standardisation."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from awac_tr.models.networks import MLP, GaussianNet, QNet, Standardizer


class TestMLP:
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    @pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3)])
    def test_shape_and_dtype(self, shape: tuple[int, ...], precision: Any) -> None:
        out = MLP(3, (8, 7), 2, precision=precision)(torch.randn(shape))
        assert out.shape == (*shape[:-1], 2)
        assert out.dtype is torch.float32

    @pytest.mark.parametrize(
        ("activation", "function"), [("relu", torch.relu), ("tanh", torch.tanh), ("elu", torch.nn.functional.elu)]
    )
    def test_is_what_it_says(self, activation: str, function: Any) -> None:
        mlp, x = MLP(3, (4,), 2, activation), torch.randn(5, 3)
        hidden = function(x @ mlp.hidden[0].weight.T + mlp.hidden[0].bias)
        assert torch.allclose(mlp(x), hidden @ mlp.last.weight.T + mlp.last.bias, atol=1e-6)

    @pytest.mark.parametrize("activation", ["relu", "tanh", "elu", "gelu", "silu"])
    def test_activations(self, activation: str) -> None:
        assert MLP(3, (4,), 2, activation)(torch.randn(5, 3)).isfinite().all()

    def test_inputs_are_joined_in_order(self) -> None:
        mlp, a, b = MLP(5, (4,), 2), torch.randn(6, 3), torch.randn(6, 2)
        assert torch.equal(mlp(a, b), mlp(torch.cat([a, b], -1)))

    def test_bf16_has_fp32_weights_and_gradients(self) -> None:
        mlp = MLP(3, (8, 8), 1, precision="bf16")
        seen = []
        mlp.last.register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
        mlp(torch.randn(5, 3)).sum().backward()
        assert seen == [torch.float32]
        assert all(
            p.dtype is torch.float32 and p.grad is not None and p.grad.dtype is torch.float32 for p in mlp.parameters()
        )

    def test_bf16_rounds_hidden_layers_only(self) -> None:
        mlp, x = MLP(3, (8, 8), 1), torch.randn(50, 3)
        exact = mlp(x)
        mlp.precision = "bf16"
        lower = mlp(x)
        assert 0 < (lower - exact).abs().max() < 0.05
        assert not torch.equal(lower, lower.to(torch.bfloat16).float())

    def test_last_layer_init(self) -> None:
        last = MLP(3, (64,), 8, last_layer_init=1e-3).last
        assert 0.5e-3 < last.weight.abs().max() <= 1e-3
        assert (last.bias == 0).all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"hidden_sizes": ()}, "hidden_sizes is empty"),
            ({"activation": "relo"}, "unknown activation 'relo'; known: relu, tanh"),
            ({"precision": "fp16"}, "not 'fp16'"),
        ],
    )
    def test_refusals(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            MLP(**{"in_size": 3, "hidden_sizes": (4,), "out_size": 1} | arguments)


class TestStandardizer:
    def test_is_the_identity_at_first(self) -> None:
        x = torch.randn(5, 3)
        assert torch.equal(Standardizer(3)(x), x)

    @pytest.mark.parametrize("kind", [torch.tensor, np.array, list])
    def test_statistics(self, kind: Any) -> None:
        part = Standardizer(2)
        part.set_statistics(kind([1.0, -1.0]), kind([2.0, 0.5]))
        assert part(torch.tensor([[3.0, -1.5]])).tolist() == [[1.0, -1.0]]

    def test_travels_in_the_state_dict(self) -> None:
        part, other = Standardizer(2), Standardizer(2)
        part.set_statistics([1.0, -1.0], [2.0, 0.5])
        other.load_state_dict(part.state_dict())
        assert other(torch.ones(2)).tolist() == [0.0, 4.0]
        assert list(part.parameters()) == []

    def test_constant_features_are_centred_aloud(self, caplog: pytest.LogCaptureFixture) -> None:
        part = Standardizer(3)
        with caplog.at_level(logging.INFO, "awac_tr"):
            part.set_statistics([1.0, 5.0, 0.0], [1.0, 0.0, 1e-9])
        assert part(torch.tensor([1.0, 5.5, 2.0])).tolist() == [0.0, 0.5, 2.0]
        assert "[1, 2]" in caplog.text
        assert "constant" in caplog.text

    @pytest.mark.parametrize(
        ("mean", "std", "message"),
        [
            ([0.0], [1.0, 1.0], r"mean has shape \[1\], observations have \[2\]"),
            ([0.0, 0.0], [[1.0, 1.0]], r"std has shape \[1, 2\]"),
            ([0.0, float("nan")], [1.0, 1.0], "mean has entries that are not finite"),
            ([0.0, 0.0], [1.0, float("inf")], "std has entries that are not finite"),
            ([0.0, 0.0], [1.0, -1.0], "std has negative entries"),
        ],
    )
    def test_refusals(self, mean: Any, std: Any, message: str) -> None:
        part = Standardizer(2)
        with pytest.raises(ValueError, match=message):
            part.set_statistics(mean, std)
        assert part.scale.tolist() == [1.0, 1.0]


class TestGaussianNet:
    @pytest.mark.parametrize("dependent", [False, True])
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_shapes(self, dependent: bool, precision: Any) -> None:
        loc, scale = GaussianNet(3, 2, (8,), dependent=dependent, precision=precision)(torch.randn(4, 5, 3))
        assert loc.shape == scale.shape == (4, 5, 2)
        assert loc.dtype is scale.dtype is torch.float32

    @pytest.mark.parametrize("dependent", [False, True])
    def test_starts_as_the_authors(self, dependent: bool) -> None:
        loc, scale = GaussianNet(3, 2, (256, 256), dependent=dependent)(torch.randn(100, 3))
        assert loc.abs().max() < 0.01
        assert scale.mean().item() == pytest.approx(0.0498, rel=0.02)

    def test_deviation_stays_between_its_bounds(self) -> None:
        net = GaussianNet(3, 2, (8,), log_std_min=-3.0, log_std_max=-1.0)
        for p, log_std in ((-100.0, -3.0), (0.0, -2.0), (100.0, -1.0)):
            torch.nn.init.constant_(net.std_parameter, p)
            assert net(torch.zeros(1, 3))[1].log().tolist()[0] == pytest.approx([log_std] * 2)

    def test_squash_and_affine(self) -> None:
        affine = (torch.tensor([1.0, 0.0]), torch.tensor([2.0, 10.0]))
        net = GaussianNet(3, 2, (8,), affine=affine)
        torch.nn.init.constant_(net.mlp.last.bias, 50.0)
        loc, scale = net(torch.zeros(1, 3))
        assert loc.tolist()[0] == pytest.approx([3.0, 10.0])
        assert scale.tolist()[0] == pytest.approx([2 * 0.0498, 10 * 0.0498], rel=1e-2)
        net.squash_mean = False
        assert net(torch.zeros(1, 3))[0].tolist()[0] == pytest.approx([101.0, 500.0], rel=1e-2)

    def test_deviation_bounds_in_order(self) -> None:
        with pytest.raises(ValueError, match="is not below"):
            GaussianNet(3, 2, (8,), log_std_min=0.0, log_std_max=0.0)


def test_qnet_standardises_observations_only() -> None:
    net, observation, action = QNet(2, 1, (8,)), torch.randn(5, 2), torch.randn(5, 1)
    net.standardize.set_statistics([1.0, 2.0], [3.0, 4.0])
    scaled = (observation - torch.tensor([1.0, 2.0])) / torch.tensor([3.0, 4.0])
    assert torch.allclose(net(observation, action), net.mlp(scaled, action), atol=1e-6)
    assert net(observation, action).shape == (5, 1)
