"""One row at a time gives what the modules give."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.models.build import build_policy, set_observation_statistics
from awac_tr.policies.acting import RowPolicy
from awac_tr.recipes.schema import PolicySection

LOW, HIGH = np.array([-1.0, -2.0, 0.0], np.float32), np.array([1.0, 2.0, 4.0], np.float32)
SPECS = {
    "normal": {},
    "dependent": {"std": "dependent"},
    "squashed": {"distribution": "tanh_normal"},
    "squashed dependent": {"distribution": "tanh_normal", "std": "dependent"},
    **{activation: {"activation": activation} for activation in ("tanh", "elu", "gelu", "silu")},
}
BOUNDS = {"unit": {}, "bounds": {"action_low": LOW, "action_high": HIGH}}


def policy(**options: Any) -> Any:
    bounds = {name: options.pop(name) for name in ("action_low", "action_high", "precision") if name in options}
    module = build_policy(PolicySection(hidden_sizes=(32, 16), **options), 5, 3, **bounds)
    set_observation_statistics(module, torch.randn(5), torch.rand(5) + 0.5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("name", SPECS)
def test_distribution_and_samples_are_those_of_the_module(name: str, bounds: str) -> None:
    module = policy(**SPECS[name], **BOUNDS[bounds])
    rows = RowPolicy.of(module)
    for seed in range(5):
        torch.manual_seed(seed)
        observation = torch.randn(5)
        with torch.no_grad():
            data = module(TensorDict({"observation": observation[None]}, [1]))
            torch.manual_seed(seed)
            dist = module.get_dist(data)
            expected = dist.sample()[0].numpy()
            torch.manual_seed(seed)
            noise = torch.randn(1, 3)[0].numpy()
        for found, key in zip(rows.distribution(observation.numpy()), ("loc", "scale"), strict=True):
            np.testing.assert_allclose(found, data[key][0].numpy(), rtol=1e-5, atol=1e-6)
        action = rows.act(observation.numpy(), noise)
        assert action.dtype == np.float32
        np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-5)


def test_squashed_actions_keep_off_the_bounds_as_torchrl_keeps_them() -> None:
    module = policy(distribution="tanh_normal")
    with torch.no_grad():
        module[0].module.mlp.last.bias.fill_(30.0)
        expected = module.get_dist(TensorDict({"observation": torch.zeros(1, 5)}, [1])).deterministic_sample[0]
    found = RowPolicy.of(module).act(np.zeros(5, np.float32))
    assert found.max() < 1.0
    np.testing.assert_array_equal(found, expected.numpy())


def test_bfloat16_is_for_updates_acting_is_float32() -> None:
    torch.manual_seed(3)
    half = policy(precision="bf16")
    full = build_policy(PolicySection(hidden_sizes=(32, 16)), 5, 3)
    full.load_state_dict(half.state_dict())
    observation = np.ones(5, np.float32)
    assert np.array_equal(RowPolicy.of(half).act(observation), RowPolicy.of(full).act(observation))


def test_parameters_that_learn_are_followed_and_a_pickle_is_a_copy() -> None:
    module, observation = policy(), np.ones(5, np.float32)
    rows = RowPolicy.of(module)
    copied = pickle.loads(pickle.dumps(rows))  # noqa: S301  (our own)
    before = rows.act(observation)
    assert np.array_equal(copied.act(observation), before)
    with torch.no_grad():
        module[0].module.mlp.last.bias.add_(1.0)
    assert not np.array_equal(rows.act(observation), before)
    assert np.array_equal(copied.act(observation), before)


def test_actions_are_not_overwritten_by_the_next_call() -> None:
    rows = RowPolicy.of(policy())
    first = rows.act(np.ones(5, np.float32))
    kept = first.copy()
    rows.act(np.zeros(5, np.float32))
    assert np.array_equal(first, kept)


def test_a_policy_of_another_make_is_refused() -> None:
    with pytest.raises(TypeError, match="build_policy"):
        RowPolicy.of([torch.nn.Linear(2, 2)])
