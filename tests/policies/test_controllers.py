"""Controllers against what they stand for: the TorchRL distribution, the process's equation, the seeds."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torchrl.envs.utils import ExplorationType, set_exploration_type

from awac_tr.envs.env_info import env_info
from awac_tr.errors import CheckpointError
from awac_tr.models.build import build_policy, set_observation_statistics
from awac_tr.policies.checkpoint import policy_entry, save_checkpoint
from awac_tr.policies.controllers import (
    NetworkController,
    NoisyController,
    OUController,
    RandomController,
    load_controller,
)
from awac_tr.recipes.schema import PolicySection

LOW, HIGH = np.array([-1.0, -2.0, 0.0], np.float32), np.array([1.0, 2.0, 4.0], np.float32)
SPECS = {
    "normal": PolicySection(hidden_sizes=(16, 16)),
    "dependent": PolicySection(hidden_sizes=(16, 16), std="dependent"),
    "squashed": PolicySection(hidden_sizes=(16, 16), distribution="tanh_normal"),
}


def policy(spec: PolicySection, **bounds: Any) -> Any:
    module = build_policy(spec, 5, 3, **bounds)
    set_observation_statistics(module, torch.randn(5), torch.rand(5) + 0.5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def actions(controller: Any, seed: int, steps: int = 20) -> np.ndarray:
    observations = np.random.default_rng(9).normal(size=(steps, 5)).astype(np.float32)
    controller.reset(seed)
    return np.stack([controller.act(observation) for observation in observations])


@pytest.fixture(params=["unit", "bounds"])
def bounds(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {} if request.param == "unit" else {"action_low": LOW, "action_high": HIGH}


@pytest.mark.parametrize("name", SPECS)
def test_the_mean_action_is_torchrls_deterministic_action(name: str, bounds: dict[str, Any]) -> None:
    module, observation = policy(SPECS[name], **bounds), torch.randn(5)
    with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
        expected = module(TensorDict({"observation": observation[None]}, [1]))["action"][0]
    found = NetworkController(module, "mean").act(observation.numpy())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", SPECS)
def test_sampled_actions_have_the_distribution_of_the_module(name: str, bounds: dict[str, Any]) -> None:
    module, observation = policy(SPECS[name], **bounds), torch.randn(5)
    controller = NetworkController(module, "sample")
    controller.reset(4)
    found = np.stack([controller.act(observation.numpy()) for _ in range(3000)]).astype(np.float64)
    with torch.no_grad():
        dist = module.get_dist(TensorDict({"observation": observation[None]}, [1]))
        expected = dist.sample((60_000,))[:, 0].double().numpy()
    spread = expected.std(0)
    assert (np.abs(found.mean(0) - expected.mean(0)) < 5 * spread / np.sqrt(len(found))).all()
    np.testing.assert_allclose(found.std(0), spread, rtol=0.08)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomController(LOW, HIGH),
        lambda: OUController(LOW, HIGH),
        lambda: NetworkController(policy(SPECS["normal"]), "sample"),
        lambda: NoisyController(NetworkController(policy(SPECS["squashed"]), "sample"), 0.1),
    ],
    ids=["random", "ou", "network", "noisy"],
)
def test_an_episode_depends_on_its_seed_alone(make: Any) -> None:
    controller = make()
    first, other = actions(controller, 7), actions(controller, 8)
    copied = pickle.loads(pickle.dumps(controller))  # noqa: S301  (our own)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  (the global stream is what must not move)
    assert np.array_equal(first, actions(controller, 7))
    assert np.array_equal(first, actions(copied, 7))
    assert not np.array_equal(first, other)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_actions_do_not_repeat_the_draws_of_the_environments_reset() -> None:
    seed = 5
    controller = RandomController(np.zeros(3), np.ones(3))
    controller.reset(seed)
    assert not np.allclose(controller.act(np.zeros(1, np.float32)), np.random.default_rng(seed).random(3, np.float32))


def test_random_actions_fill_the_range() -> None:
    drawn = actions(RandomController(LOW, HIGH), 0, 4000)
    assert (drawn >= LOW).all()
    assert (drawn <= HIGH).all()
    np.testing.assert_allclose(drawn.mean(0), (LOW + HIGH) / 2, atol=0.1)
    np.testing.assert_allclose(drawn.std(0), (HIGH - LOW) / np.sqrt(12), rtol=0.05)


def test_ou_noise_follows_its_equation() -> None:
    sigma = 0.1  # so small that nothing is clipped
    drawn = actions(OUController(np.full(3, 1.0), np.full(3, 5.0), theta=0.15, sigma=sigma), 0, 20_000)
    state = (drawn - 3.0) / 2.0
    step = state[1:] - (1 - 0.15) * state[:-1]
    np.testing.assert_allclose(step.std(0), sigma, rtol=0.03)
    np.testing.assert_allclose(state.std(0), sigma / np.sqrt(0.15 * (2 - 0.15)), rtol=0.08)
    assert np.abs(state[0]).max() < 4 * sigma


def test_ou_noise_has_the_papers_theta_and_sigma_by_default() -> None:
    assert np.array_equal(
        actions(OUController(LOW, HIGH), 1), actions(OUController(LOW, HIGH, theta=0.15, sigma=0.3), 1)
    )


def test_ou_noise_is_clipped_and_centred() -> None:
    drawn = actions(OUController(LOW, HIGH, theta=0.01, sigma=1.0), 0, 2000)
    assert (drawn == HIGH).any()
    assert (drawn == LOW).any()
    still = actions(OUController(LOW, HIGH, sigma=0.0), 0)
    np.testing.assert_array_equal(still, np.broadcast_to((LOW + HIGH) / 2, still.shape))


def test_added_noise_has_the_deviation_asked_for() -> None:
    base = NetworkController(policy(SPECS["normal"]))
    added = actions(NoisyController(base, 0.2), 3, 10_000) - actions(base, 3, 10_000)
    np.testing.assert_allclose(added.std(0), 0.2, rtol=0.05)


def save(path: Path, spec: PolicySection = SPECS["normal"]) -> Path:
    module = policy(spec)
    entry = policy_entry(module, spec, observation_size=5, action_size=3, action_low=[-1.0], action_high=[1.0])
    return save_checkpoint(
        path, {"kind": "policy", "policy": entry, "env": {"id": "door-binary-v0", "kwargs": {}, "horizon": 200}}
    )


def test_a_checkpoint_acts_and_is_refused_elsewhere(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt")
    assert actions(load_controller(path), 0).shape == (20, 3)
    with pytest.raises(CheckpointError, match=r"not for door-binary-v0 .observations 39"):
        load_controller(path, env=env_info("door-binary-v0"))


def test_acting_costs_little_more_than_the_bare_network() -> None:
    spec = PolicySection(hidden_sizes=(256, 256, 256, 256))
    module = build_policy(spec, 39, 28)
    controller, observation = NetworkController(module, "sample"), np.zeros(39, np.float32)

    @torch.inference_mode()
    def bare() -> None:
        module[0].module(torch.from_numpy(observation)[None])

    ratio = _best_of(lambda: controller.act(observation)) / _best_of(bare)
    assert ratio < 2.0  # a TensorDict call of the same module takes more than three times the bare network's time


def _best_of(call: Any, rounds: int = 30, calls: int = 20) -> float:
    call()
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()  # of this process alone: others may be busy
        for _ in range(calls):
            call()
        best = min(best, time.process_time() - start)
    return best / calls
