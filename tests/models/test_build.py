"""Policies and critics from recipe sections."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch import nn
from torchrl.envs.utils import ExplorationType, set_exploration_type

from awac_tr.errors import EnvError
from awac_tr.models.build import Keyed, build_policy, build_qvalues, set_observation_statistics
from awac_tr.models.networks import Standardizer
from awac_tr.recipes.schema import PolicySection, QValueSection

BOTH = pytest.mark.parametrize("distribution", ["normal", "tanh_normal"])


def policy(distribution: Any = "normal", **options: Any) -> Any:
    bounds = {key: options.pop(key) for key in ("action_low", "action_high", "precision") if key in options}
    return build_policy(PolicySection(hidden_sizes=(16, 8), distribution=distribution, **options), 3, 2, **bounds)


def states(n: int = 5) -> TensorDict:
    return TensorDict({"observation": torch.randn(n, 3)}, [n])


class TestPolicy:
    @BOTH
    @pytest.mark.parametrize("std", ["independent", "dependent"])
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_keys_shapes_dtypes(self, precision: Any, std: Any, distribution: Any) -> None:
        module = policy(distribution, std=std, precision=precision)
        out = module(states())
        assert set(out.keys()) == {"observation", "loc", "scale", "action"}
        assert out["action"].shape == (5, 2)
        assert out["action"].dtype is torch.float32
        log_prob = module.get_dist(out).log_prob(out["action"])
        assert log_prob.shape == (5,)
        assert log_prob.requires_grad

    def test_log_prob_is_that_of_an_unsquashed_gaussian(self) -> None:
        module, td = policy(), states()
        out = module(td)
        loc, scale, action = (out[key].detach().numpy() for key in ("loc", "scale", "action"))
        expected = (-0.5 * ((action - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)).sum(-1)
        assert np.allclose(module.get_dist(out).log_prob(out["action"]).detach().numpy(), expected, rtol=1e-4)

    @BOTH
    def test_samples_by_default_and_is_deterministic_on_request(self, distribution: Any) -> None:
        module, td = policy(distribution), states()
        assert not torch.equal(module(td.clone())["action"], module(td.clone())["action"])
        with set_exploration_type(ExplorationType.DETERMINISTIC):
            out = module(td.clone())
        assert torch.allclose(out["action"], torch.tanh(out["loc"]) if distribution == "tanh_normal" else out["loc"])

    def test_normal_squashes_its_mean_only(self) -> None:
        module = policy()
        nn.init.constant_(module[0].module.mlp.last.bias, 50.0)
        out = module(states(2000))
        assert (out["loc"] == 1).all()
        assert out["action"].max() > 1

    def test_first_deviation(self) -> None:
        assert policy()(states(4000))["action"].std(0).mean().item() == pytest.approx(0.0498, rel=0.05)

    def test_deviation_bounds_come_from_the_section(self) -> None:
        assert policy(log_std_min=-2.0, log_std_max=-1.0)(states())["scale"].log().unique().item() == pytest.approx(
            -1.5
        )

    @BOTH
    def test_action_bounds(self, distribution: Any, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "awac_tr"):
            module = policy(distribution, action_low=[0.0, -10.0], action_high=[4.0, 10.0])
        assert "[0 -10] to [4 10]" in caplog.text
        nn.init.constant_(module[0].module.mlp.last.bias, -50.0)
        with set_exploration_type(ExplorationType.DETERMINISTIC):
            assert np.allclose(module(states())["action"].detach().numpy(), [0.0, -10.0], atol=1e-3)
        nn.init.constant_(module[0].module.mlp.last.bias, 0.0)
        spread = module(states(4000))["action"].std(0).tolist()
        assert spread == pytest.approx([2 * 0.0498, 10 * 0.0498], rel=0.1)

    @BOTH
    def test_unit_bounds_change_nothing(self, distribution: Any) -> None:
        torch.manual_seed(0)
        plain = policy(distribution)
        torch.manual_seed(0)
        bounded = policy(distribution, action_low=-np.ones(2), action_high=np.ones(2))
        assert plain.state_dict().keys() == bounded.state_dict().keys()
        td = states()
        assert torch.equal(plain(td.clone())["loc"], bounded(td.clone())["loc"])

    @pytest.mark.parametrize(
        ("low", "high", "message"),
        [
            ([-1.0] * 3, 1.0, r"action_low has shape \[3\], actions have \[2\]"),
            (-np.inf, np.inf, "no finite bounds"),
            ([0.0, 1.0], [1.0, 1.0], "low below high"),
        ],
    )
    def test_unsuitable_bounds(self, low: Any, high: Any, message: str) -> None:
        with pytest.raises(EnvError, match=message):
            policy(action_low=low, action_high=high)

    @BOTH
    def test_state_dict_round_trip(self, distribution: Any) -> None:
        options = {"action_low": [0.0, -10.0], "action_high": [4.0, 10.0]}
        one, other = policy(distribution, **options), policy(distribution, **options)
        set_observation_statistics(one, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
        other.load_state_dict(one.state_dict())
        td = states()
        assert torch.equal(one(td.clone())["loc"], other(td.clone())["loc"])


class TestQValues:
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_keys_and_shapes(self, precision: Any) -> None:
        critics = build_qvalues(QValueSection(hidden_sizes=(8,), count=3), 3, 2, precision=precision)
        assert len(critics) == 3
        for critic in critics:
            out = critic(TensorDict({"observation": torch.randn(5, 3), "action": torch.randn(5, 2)}, [5]))
            assert out["state_action_value"].shape == (5, 1)
            assert out["state_action_value"].dtype is torch.float32

    def test_are_initialised_separately(self) -> None:
        one, other = build_qvalues(QValueSection(hidden_sizes=(8,)), 3, 2)
        assert not torch.equal(one.module.mlp.last.weight, other.module.mlp.last.weight)


class TestStatistics:
    def test_reach_policy_and_critics(self) -> None:
        for module in (policy(), *build_qvalues(QValueSection(hidden_sizes=(8,)), 3, 2)):
            set_observation_statistics(module, np.arange(3), [2.0, 2.0, 2.0])
            found = [part for part in module.modules() if isinstance(part, Standardizer)]
            assert [part.loc.tolist() for part in found] == [[0.0, 1.0, 2.0]]

    def test_a_module_without_standardizer(self) -> None:
        with pytest.raises(ValueError, match="Linear holds no Standardizer"):
            set_observation_statistics(nn.Linear(3, 1), [0.0] * 3, [1.0] * 3)


class TestKeyed:
    def test_several_outputs_and_nested_keys(self) -> None:
        keyed = Keyed(_Pair(), [("next", "x")], ["y", ("deep", "state")])
        out = keyed(TensorDict({("next", "x"): torch.ones(2, 3)}, [2]))
        assert out["y"].tolist() == [[2.0] * 3] * 2
        assert out["deep", "state"].tolist() == [[3.0] * 3] * 2

    def test_number_of_outputs_must_match(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            Keyed(_Pair(), ["x"], ["y"])(TensorDict({"x": torch.ones(2, 3)}, [2]))


class _Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 2 * x, 3 * x
