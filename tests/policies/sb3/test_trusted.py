"""Beside Stable-Baselines3 itself: what it saves is read as it would read it, and what it must load is loaded by it."""

from __future__ import annotations

import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from awac_tr.cli.main import main
from awac_tr.collectors.episodes import rollouts
from awac_tr.data.storage.reader import open_dataset
from awac_tr.envs.env_info import env_info
from awac_tr.errors import CheckpointError
from awac_tr.policies.controllers import load_controller

PENDULUM = "Pendulum-v1"
OBSERVATIONS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def sb3() -> Any:
    pytest.importorskip("sb3_contrib", reason="Stable-Baselines3 is absent: pip install 'awac-tr[sb3]'")
    import sb3_contrib
    import stable_baselines3

    algorithms = {name: getattr(stable_baselines3, name) for name in ("A2C", "DDPG", "PPO", "SAC", "TD3")}
    return algorithms | {name: getattr(sb3_contrib, name) for name in ("ARS", "CrossQ", "RecurrentPPO", "TQC", "TRPO")}


def make(sb3: Any, name: str, path: Path, policy: Any = "MlpPolicy", **options: Any) -> tuple[Path, np.ndarray]:
    """A new agent's file, and what it does at ``OBSERVATIONS``."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = sb3[name](policy, PENDULUM, device="cpu", **options)
        with torch.no_grad():  # large enough to reach the bounds
            for place, parameter in model.policy.named_parameters():
                parameter.mul_(500.0 if place.startswith("action_net") else 1.5)  # that one begins near zero
        model.save(path)
    return path, model.predict(OBSERVATIONS, deterministic=True)[0]


def acts(path: Path, mode: Any = "mean", **options: Any) -> np.ndarray:
    controller = load_controller(path, mode, **options)
    controller.reset(1)
    return np.stack([controller.act(observation) for observation in OBSERVATIONS])


SDE = {"use_sde": True, "sde_sample_freq": 4}
AGENTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ("SAC", "TQC", "TD3", "DDPG", "PPO", "A2C", "TRPO")},
    "SAC, gSDE": ("SAC", SDE),
    "SAC, gSDE unclipped": ("SAC", SDE | {"policy_kwargs": {"clip_mean": 0.0, "use_expln": True}}),
    "TQC, ELU": ("TQC", {"policy_kwargs": {"activation_fn": nn.ELU, "net_arch": [16], "n_critics": 3}}),
    "TD3, layers of its own": ("TD3", {"policy_kwargs": {"net_arch": {"pi": [16, 8, 4], "qf": [8]}}}),
    "PPO, SiLU": ("PPO", {"policy_kwargs": {"activation_fn": nn.SiLU, "net_arch": {"pi": [16], "vf": []}}}),
    "PPO, gSDE": ("PPO", SDE),
    "A2C, gSDE squashed": ("A2C", SDE | {"policy_kwargs": {"squash_output": True, "full_std": False}}),
    "A2C, linear": ("A2C", {"policy_kwargs": {"net_arch": []}}),
}


@pytest.mark.parametrize(("algorithm", "options"), AGENTS.values(), ids=AGENTS.keys())
def test_what_it_saves_acts_as_it_predicts(sb3: Any, tmp_path: Path, algorithm: str, options: dict[str, Any]) -> None:
    path, expected = make(sb3, algorithm, tmp_path / "agent.zip", **options)
    assert np.ptp(expected) > 0.1
    for env in (None, env_info(PENDULUM)):
        np.testing.assert_allclose(acts(path, env=env), expected, atol=1e-5)
    np.testing.assert_allclose(acts(path, env=env_info(PENDULUM), trust=True), expected, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["CrossQ", "ARS", "RecurrentPPO"])
def test_others_have_to_be_trusted(sb3: Any, tmp_path: Path, algorithm: str) -> None:
    policy = "MlpLstmPolicy" if algorithm == "RecurrentPPO" else "MlpPolicy"
    path, expected = make(sb3, algorithm, tmp_path / "agent.zip", policy)
    with pytest.raises(CheckpointError, match="--trust"):
        load_controller(path)
    actions = acts(path, trust=True)
    np.testing.assert_allclose(actions[0], expected[0], atol=1e-5)
    if algorithm == "RecurrentPPO":  # one that remembers: the same observation, another action
        controller = load_controller(path, trust=True)
        first, second = controller.act(OBSERVATIONS[0]), controller.act(OBSERVATIONS[0])
        controller.reset(0)
        assert first != second
        assert controller.act(OBSERVATIONS[0]) == first
    else:
        np.testing.assert_allclose(actions, expected, atol=1e-5)


@pytest.mark.parametrize(("algorithm", "options"), [("SAC", {}), ("PPO", {}), ("SAC", SDE)], ids=["SAC", "PPO", "gSDE"])
def test_trusted_samples_belong_to_their_seed_and_leave_chance_alone(
    sb3: Any, tmp_path: Path, algorithm: str, options: dict[str, Any]
) -> None:
    path, expected = make(sb3, algorithm, tmp_path / "agent.zip", seed=5, **options)
    before = (random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    first, again = acts(path, "sample", trust=True), acts(path, "sample", trust=True)
    after = (random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    assert before == after
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - expected).max() > 1e-3
    # both ways explore alike: means over many episodes of the size of the noise
    both = []
    for trust in (False, True):
        controller = load_controller(path, "sample", trust=trust)
        drawn = []
        for seed in range(300):
            controller.reset(seed)
            drawn.append(controller.act(OBSERVATIONS[0]))
        both.append(np.std(drawn))
    assert both[0] == pytest.approx(both[1], rel=0.2)


def test_trusting_runs_code_of_the_file_and_not_trusting_does_not(sb3: Any, tmp_path: Path) -> None:
    class Own(nn.ReLU):
        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return torch.sin(value)

    path, expected = make(sb3, "PPO", tmp_path / "agent.zip", policy_kwargs={"activation_fn": Own})
    with pytest.raises(CheckpointError, match="its activation function is"):
        load_controller(path)
    np.testing.assert_allclose(acts(path, trust=True), expected, atol=1e-5)


@pytest.mark.slow
def test_trusted_files_are_collected_and_evaluated_in_workers(sb3: Any, tmp_path: Path) -> None:
    path, _ = make(sb3, "CrossQ", tmp_path / "agent.zip")
    common = ["--env", PENDULUM, "--trust"]
    result = CliRunner().invoke(main, ["eval", str(path), *common, "--episodes", "2", "--json"])
    assert result.exit_code == 0, result.output
    assert '"trusted": true' in result.stdout
    arguments = ["--source", "policy", "--policy", str(path), "--n", "2", "--horizon", "5", "--workers", "2"]
    result = CliRunner().invoke(main, ["collect", *arguments, *common, "--out", "a.hdf5", "--quiet"])
    assert result.exit_code == 0, result.output
    with open_dataset("a.hdf5") as dataset:
        assert dataset.meta.extra["policy_trusted"] is True


def test_a_missing_extra_names_the_command(forge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forge.of("sac").data["target_entropy"] = -2.0
    path = forge.write()
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(CheckpointError) as caught:
        load_controller(path, trust=True)
    assert caught.value.hint == 'pip install "awac-tr[sb3]"'


def test_a_file_it_cannot_load_is_the_files_fault(sb3: Any, tmp_path: Path) -> None:
    path, _ = make(sb3, "SAC", tmp_path / "agent.zip")
    with pytest.raises(CheckpointError, match="Stable-Baselines3 could not load"):
        load_controller(path, trust=True, env=env_info("HalfCheetah-v5"))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="truncated"):
        load_controller(path, trust=True)


def test_a_file_without_an_algorithm(forge: Any) -> None:
    with pytest.raises(CheckpointError, match="no settings of an algorithm"):
        load_controller(forge.of("sac").write(), trust=True)


@pytest.mark.parametrize(
    ("agent", "environment"), [("tqc_HalfCheetah-v3", "HalfCheetah-v5"), ("tqc_Walker2d-v3", "Walker2d-v5")]
)
def test_real_files_act_as_it_predicts(sb3: Any, shared_data: Path, agent: str, environment: str) -> None:
    path, env = shared_data / "sb3" / f"{agent}.zip", env_info(environment)
    (episode,) = rollouts(env.env, partial(load_controller, path, env=env), [2])
    trusted = load_controller(path, env=env, trust=True)
    expected = np.stack([trusted.act(observation) for observation in episode.observations])
    assert len(expected) == 1000
    np.testing.assert_allclose(episode.actions, expected, atol=1e-5)
