"""Stable-Baselines3's files without Stable-Baselines3: each family's forward pass, by torch, from the same tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from awac_tr.collectors.episodes import rollouts
from awac_tr.envs.env_info import EnvInfo, env_info
from awac_tr.errors import CheckpointError
from awac_tr.policies.controllers import load_controller
from awac_tr.policies.experts import load_expert
from awac_tr.recipes.schema import EnvSection

ACTIVATIONS = {
    "ReLU": functional.relu,
    "Tanh": torch.tanh,
    "ELU": functional.elu,
    "LeakyReLU": functional.leaky_relu,
    "SiLU": functional.silu,
}
LOW, HIGH = torch.tensor([-2.0, 0.0]), torch.tensor([2.0, 1.0])
OBSERVATIONS = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))


def facts(low: tuple[float, ...] = (-2.0, 0.0), high: tuple[float, ...] = (2.0, 1.0), size: int = 5) -> EnvInfo:
    return EnvInfo("toy-v0", 10, (-1.0, 0.0), None, None, size, len(low), action_bounds=(low, high))


def last(forge: Any, names: tuple[str, ...], activation: Any = torch.relu) -> torch.Tensor:
    """The mean before it is squashed or cut, [20, 2]."""
    x, t = OBSERVATIONS, forge.tensors
    for name in names[:-1]:
        x = activation(functional.linear(x, t[f"{name}.weight"], t[f"{name}.bias"]))
    return functional.linear(x, t[f"{names[-1]}.weight"], t[f"{names[-1]}.bias"])


def squashed(mean: torch.Tensor) -> torch.Tensor:
    return LOW + (torch.tanh(mean) + 1) / 2 * (HIGH - LOW)


def acts(path: Path, **options: Any) -> np.ndarray:
    controller = load_controller(path, **options)
    return np.stack([controller.act(observation) for observation in OBSERVATIONS.numpy()])


def agree(path: Path, expected: torch.Tensor, **options: Any) -> None:
    np.testing.assert_allclose(acts(path, **options), expected.numpy(), atol=1e-5)


SAC = ("actor.latent_pi.0", "actor.latent_pi.2", "actor.mu")
TD3 = ("actor.mu.0", "actor.mu.2", "actor.mu.4")
PPO = ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net")


@pytest.mark.parametrize(("algorithm", "names"), [("sac", SAC), ("tqc", SAC), ("td3", TD3), ("ddpg", TD3)])
def test_off_policy_actors_are_squashed_to_the_range(forge: Any, algorithm: str, names: tuple[str, ...]) -> None:
    path = forge.of(algorithm).write()
    agree(path, squashed(last(forge, names)))
    agree(path, squashed(last(forge, names)), env=facts())


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "trpo"])
def test_on_policy_actors_are_cut_at_the_bounds(forge: Any, algorithm: str) -> None:
    forge.of(algorithm)
    forge.tensors["action_net.bias"] += torch.tensor([1.8, 0.9])
    expected = last(forge, PPO, torch.tanh)
    assert (expected > HIGH).any()
    agree(forge.write(), torch.clamp(expected, LOW, HIGH))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
def test_the_activation_function_is_the_files(forge: Any, algorithm: str, name: str) -> None:
    path = forge.of(algorithm, activation_fn=f"<class 'torch.nn.modules.activation.{name}'>").write()
    mean = last(forge, SAC if algorithm == "sac" else PPO, ACTIVATIONS[name])
    agree(path, squashed(mean) if algorithm == "sac" else torch.clamp(mean, LOW, HIGH))


def test_no_hidden_layer_and_layers_shared_with_the_critic(forge: Any) -> None:
    forge.of("ppo", net_arch=[])
    forge.tensors = {"log_std": torch.zeros(2), "action_net.weight": torch.randn(2, 5), "action_net.bias": LOW}
    agree(forge.write(), torch.clamp(last(forge, ("action_net",)), LOW, HIGH))
    forge.of("ppo")
    for key in ("weight", "bias"):
        forge.tensors[f"mlp_extractor.shared_net.0.{key}"] = forge.tensors.pop(f"{PPO[0]}.{key}")
        forge.tensors[f"{PPO[0]}.{key}"] = forge.tensors.pop(f"{PPO[1]}.{key}")
    names = ("mlp_extractor.shared_net.0", PPO[0], "action_net")
    agree(forge.write(), torch.clamp(last(forge, names, torch.tanh), LOW, HIGH))


def test_the_file_may_be_of_another_precision_and_compressed_again(forge: Any) -> None:
    import zipfile

    forge.of("td3")
    forge.tensors = {name: value.double() for name, value in forge.tensors.items()}
    path, again = forge.write(), forge.folder / "again.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    np.testing.assert_array_equal(acts(path), acts(again))


def drawn(path: Path, count: int, observation: np.ndarray, every: int = 1) -> np.ndarray:
    """Actions at one observation, of episodes of ``every`` steps."""
    controller = load_controller(path, "sample")
    actions = []
    for seed in range(count):
        controller.reset(seed)
        actions += [controller.act(observation) for _ in range(every)]
    return np.stack(actions)


def test_samples_have_the_deviation_of_the_file(forge: Any) -> None:
    forge.of("ppo")
    forge.tensors["action_net.weight"] *= 0
    forge.tensors["action_net.bias"] = torch.tensor([0.0, 0.5])
    actions = drawn(forge.write(), 4, OBSERVATIONS[0].numpy(), 1000)
    np.testing.assert_allclose(actions.std(0), np.exp([-1.0, -2.0]), rtol=0.1)
    np.testing.assert_allclose(actions.mean(0), [0.0, 0.5], atol=0.03)


def test_samples_of_sac_have_the_deviation_of_its_second_head(forge: Any) -> None:
    forge.of("sac")
    forge.tensors["actor.log_std.bias"] -= 3
    std = torch.exp(last(forge, (*SAC[:-1], "actor.log_std")))[0]
    actions = drawn(forge.write(), 4, OBSERVATIONS[0].numpy(), 1000)
    before = torch.atanh((torch.from_numpy(actions) - LOW) / (HIGH - LOW) * 2 - 1)
    np.testing.assert_allclose(before.std(0).numpy(), std.numpy(), rtol=0.1)


def sde(forge: Any, algorithm: str, **kwargs: Any) -> Any:
    """An agent that explored with gSDE."""
    forge.of(algorithm, **kwargs)
    forge.data["use_sde"] = True
    if algorithm == "sac":
        for key in ("weight", "bias"):
            forge.tensors[f"actor.mu.0.{key}"] = forge.tensors.pop(f"actor.mu.{key}") * 4
            del forge.tensors[f"actor.log_std.{key}"]
        forge.tensors["actor.log_std"] = torch.full((8, 2), -3.0)
    else:
        forge.tensors["log_std"] = torch.full((8, 1), 0.5)
    return forge


def test_the_mean_of_gsde_is_cut_before_it_is_squashed(forge: Any) -> None:
    for clip in (2.0, 0.5):
        sde(forge, "sac", use_sde=True, clip_mean=clip)
        mean = last(forge, (*SAC[:-1], "actor.mu.0"))
        assert (mean.abs() > 0.5).any()
        agree(forge.write(), squashed(torch.clamp(mean, -clip, clip)))


def test_the_noise_of_gsde_stays_for_an_episode_or_as_long_as_the_file_says(forge: Any) -> None:
    o = OBSERVATIONS[0].numpy()
    sde(forge, "sac", use_sde=True)
    actions = drawn(forge.write(), 3, o, 4).reshape(3, 4, 2)
    assert (actions == actions[:, :1]).all()
    assert len(np.unique(actions[:, 0], axis=0)) == 3
    forge.data["sde_sample_freq"] = 2
    actions = drawn(forge.write(), 1, o, 4)
    assert (actions[::2] == actions[1::2]).all()
    assert (actions[0] != actions[2]).all()


@pytest.mark.parametrize("expln", [False, True])
def test_the_noise_of_gsde_has_its_deviation(forge: Any, expln: bool) -> None:
    sde(forge, "ppo", squash_output=True, full_std=False, use_expln=expln)
    forge.tensors["log_std"] -= torch.tensor([[0.0]] * 4 + [[3.0]] * 4)
    forge.tensors["action_net.weight"] *= 0
    forge.tensors["action_net.bias"] *= 0
    features = OBSERVATIONS[0]
    for name in PPO[:-1]:
        features = torch.tanh(
            functional.linear(features, forge.tensors[f"{name}.weight"], forge.tensors[f"{name}.bias"])
        )
    deviations = torch.tensor([np.log1p(0.5) + 1 if expln else np.exp(0.5)] * 4 + [np.exp(-2.5)] * 4)
    actions = drawn(forge.write(), 4000, OBSERVATIONS[0].numpy())
    before = torch.atanh((torch.from_numpy(actions) - LOW) / (HIGH - LOW) * 2 - 1)
    np.testing.assert_allclose(before.std(0).numpy(), ((features * deviations) ** 2).sum().sqrt().expand(2), rtol=0.05)


def test_a_deterministic_actor_has_nothing_to_sample_from(forge: Any) -> None:
    path = forge.of("td3").write()
    with pytest.raises(CheckpointError, match="no standard deviation"):
        load_controller(path, "sample")


@pytest.mark.parametrize(("algorithm", "names"), [("sac", SAC), ("ppo", PPO)])
def test_another_range_is_refused_unless_it_is_allowed(forge: Any, algorithm: str, names: tuple[str, ...]) -> None:
    path, other = forge.of(algorithm).write(), facts((-1.0, -1.0), (1.0, 1.0))
    with pytest.raises(CheckpointError, match=r"actions of \[-2 0\] to \[2 1\], toy-v0 takes -1 to 1"):
        load_controller(path, env=other)
    np.testing.assert_array_equal(acts(path, env=other, allow_bounds_mismatch=True), acts(path))
    with pytest.raises(CheckpointError, match="no mismatch to allow"):
        load_controller(path, env=facts(), allow_bounds_mismatch=True)


@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
def test_actions_are_scaled_where_the_environment_takes_scaled_ones(forge: Any, algorithm: str) -> None:
    path, raw = forge.of(algorithm).write(), ((-2.0, 0.0), (2.0, 1.0))
    rescaled = replace(
        facts((-1.0, -1.0), (1.0, 1.0)), raw_bounds=raw, described=EnvSection(id="toy-v0", rescale_actions=True)
    )
    scaled = (torch.from_numpy(acts(path)) - LOW) / (HIGH - LOW) * 2 - 1
    agree(path, scaled, env=rescaled)
    forge.data["action_space"] |= {"low": "[-1. -1.]", "high": "[1. 1.]"}  # trained within such a one
    np.testing.assert_array_equal(acts(forge.write(), env=rescaled), acts(forge.write()))


def test_a_range_that_cannot_be_read_must_come_from_the_environment(forge: Any) -> None:
    forge.of("td3").data["action_space"]["low"] = "[-2. ... 0.]"
    path = forge.write()
    agree(path, squashed(last(forge, TD3)), env=facts())
    with pytest.raises(CheckpointError, match="range of its actions cannot be read"):
        load_controller(path)
    with pytest.raises(CheckpointError, match="actions without bounds"):
        load_controller(path, env=facts((-np.inf, 0.0)))


def test_the_task_must_have_its_sizes(forge: Any) -> None:
    path = forge.of("sac").write()
    for wrong in (facts(size=6), facts(size=4), facts((-1.0,) * 3, (1.0,) * 3)):
        with pytest.raises(CheckpointError, match=r"takes 5 observations and gives 2 actions; toy-v0 has"):
            load_controller(path, env=wrong)


def test_statistics_that_are_missing_are_said(forge: Any, caplog: pytest.LogCaptureFixture) -> None:
    for algorithm, warned in (("ppo", True), ("sac", False)):
        caplog.clear()
        forge.of(algorithm).data["_last_original_obs"] = forge.opaque("<class 'numpy.ndarray'>")
        load_controller(forge.write())
        assert ("VecNormalize" in caplog.text) == warned


@pytest.mark.parametrize(
    ("agent", "environment", "arrays"),
    [
        ("tqc_HalfCheetah-v3", "HalfCheetah-v5", "sb3_halfcheetah_tqc"),
        ("tqc_Walker2d-v3", "Walker2d-v5", "sb3_walker2d_tqc"),
    ],
)
def test_real_files_act_as_the_arrays_of_the_same_agents(
    shared_data: Path, agent: str, environment: str, arrays: str
) -> None:
    env = env_info(environment)
    safe = load_controller(shared_data / "sb3" / f"{agent}.zip", env=env)
    arrayed = load_expert(shared_data / "experts" / f"{arrays}.npz")
    (episode,) = rollouts(environment, lambda: safe, [1])
    expected = np.stack([arrayed.act(observation) for observation in episode.observations])
    np.testing.assert_allclose(episode.actions, expected, atol=1e-5)
    assert len(expected) == 1000
    assert episode.rewards.sum() > 4000
    sampled = load_controller(shared_data / "sb3" / f"{agent}.zip", "sample", env=env)
    assert np.abs(sampled.act(episode.observations[0]) - expected[0]).max() > 1e-3
