"""Cloning: what it learns, what it holds out, when it stops, and what it writes down."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.buffers.buffer import load_transitions
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.env_info import EnvInfo
from awac_tr.envs.episode import Episode
from awac_tr.errors import DatasetError
from awac_tr.policies.checkpoint import load_policy
from awac_tr.recipes.cards import CloneFit
from awac_tr.recipes.schema import EnvSection, PolicySection
from awac_tr.training.cloning import CloneProgress, CloneReport, clone

STATE, ACTION, T = 4, 2, 30
FACTS = EnvInfo("toy-v0", T, (-np.inf, np.inf), None, None, STATE, ACTION)
WEIGHTS = np.random.default_rng(5).normal(size=(STATE, ACTION)).astype(np.float32) * 0.3
SPEC = PolicySection(hidden_sizes=(32,), activation="tanh")
SECTION = CloneFit(lr=1e-2, check_every=10, patience=4, validation_fraction=0.2)


def episode(seed: int, noise: float) -> Episode:
    rng = np.random.default_rng(seed)
    observations = (10 + 3 * rng.normal(size=(T + 1, STATE))).astype(np.float32)
    clean = np.tanh((observations[:-1] - 10) / 3 @ WEIGHTS)
    actions = np.clip(clean + noise * rng.normal(size=clean.shape), -1, 1).astype(np.float32)
    ends = np.arange(T) == T - 1
    zeros = np.zeros(T, np.float32)
    return Episode(observations[:-1], actions, zeros, observations[1:], np.zeros(T, np.bool_), ends, {}, seed)


def write(path: Path, episodes: int = 10, noise: float = 0.1) -> Path:
    meta = DatasetMeta("toy-v0", "policy", [-1.0] * ACTION, [1.0] * ACTION, horizon=T, licence="CC0-1.0")
    with DatasetWriter(path, meta) as writer:
        for seed in range(episodes):
            writer.append(episode(seed, noise))
        writer.finish()
    return path


def make(path: Path, out: str = "a.clone.pt", **changes: Any) -> CloneReport:
    arguments = {"seed": 1, "max_updates": 600, "batch_size": 64, "out": Path(out), **changes}
    return clone(
        [path], arguments.pop("env", FACTS), arguments.pop("spec", SPEC), arguments.pop("section", SECTION), **arguments
    )


def test_a_clone_learns_mean_and_deviation(tmp_path: Path) -> None:
    report = make(
        write(tmp_path / "a.hdf5", 30),
        max_updates=300,
        section=CloneFit(lr=1e-2, validation_fraction=0.1, check_every=50),
    )
    fresh = episode(99, 0.0)
    with torch.no_grad():
        dist = load_policy(report.path).module.get_dist(
            TensorDict({"observation": torch.tensor(fresh.observations)}, [T])
        )
    assert np.abs(dist.mean.numpy() - fresh.actions).mean() < 0.05
    np.testing.assert_allclose(dist.stddev.numpy(), 0.1, rtol=0.25)


def test_what_is_kept_is_the_best_on_whole_episodes_never_trained_on(tmp_path: Path) -> None:
    path, checks = write(tmp_path / "a.hdf5", noise=0.8), list[CloneProgress]()
    report = make(path, on_check=checks.append, max_updates=5000, spec=PolicySection(hidden_sizes=(64,)))

    assert report.episodes == (8, 2)
    assert report.transitions == (8 * T, 2 * T)
    assert (
        report.updates == report.best_update + 4 * 10 < 5000
    )  # patience checks after the best, noise being unlearnable
    assert report.validation_loss == min(check.validation_loss or np.inf for check in checks) == checks[-1].best
    held_out = _held_out(path, report)
    policy = load_policy(report.path).module
    with torch.no_grad():
        loss = -policy.get_dist(held_out).log_prob(held_out["action"]).mean()
    assert float(loss) == pytest.approx(report.validation_loss, rel=1e-5)


def _held_out(path: Path, report: CloneReport) -> TensorDict:
    """The rows of the two episodes whose observations are not in the statistics of the clone."""
    mean = load_policy(report.path).module.state_dict()
    loc = next(value for name, value in mean.items() if name.endswith("loc") and value.shape == (STATE,))
    rows = load_transitions([path]).reshape(10, T)
    for first in range(10):
        for second in range(first):
            kept = [i for i in range(10) if i not in (first, second)]
            if torch.allclose(rows[kept]["observation"].flatten(0, 1).mean(0), loc, atol=1e-4):
                return rows[[first, second]].reshape(-1)
    raise AssertionError("the statistics are not those of eight whole episodes")


def test_the_same_seed_makes_the_same_clone_and_leaves_torchs_stream_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5")
    before = torch.get_rng_state()
    files = [make(path, name, seed=seed, max_updates=50).path for name, seed in (("a.pt", 1), ("b.pt", 1), ("c.pt", 2))]
    assert torch.equal(before, torch.get_rng_state())
    states = [load_policy(file).module.state_dict() for file in files]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_the_checkpoint_says_where_it_came_from(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.hdf5")
    described = EnvSection(id="toy-v0", kwargs={"goal": 3})
    report = make(path, max_updates=50, env=replace(FACTS, described=described))
    loaded = load_policy(report.path)
    with open_dataset(path) as dataset:
        parent = {"name": "mine", "hash": dataset.content_hash, "source": "policy"}
    assert loaded.info["parents"] == [parent]
    assert loaded.info["clone"]["best_update"] == report.best_update
    assert (loaded.env, loaded.spec) == (EnvSection(id="toy-v0", kwargs={"goal": 3}, horizon=T), SPEC)


def test_nothing_held_out_means_all_updates(tmp_path: Path) -> None:
    checks = list[CloneProgress]()
    report = make(
        write(tmp_path / "a.hdf5"),
        section=CloneFit(validation_fraction=0.0, patience=1, check_every=20),
        max_updates=70,
        on_check=checks.append,
    )
    assert [(check.update, check.validation_loss, check.best) for check in checks] == [
        (update, None, None) for update in (20, 40, 60, 70)
    ]
    assert (report.updates, report.best_update, report.validation_loss) == (70, 70, None)
    assert report.episodes == (10, 0)


def test_a_single_episode_is_not_held_out_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "awac_tr"):
        report = make(write(tmp_path / "a.hdf5", 1), max_updates=10)
    assert report.episodes == (1, 0)
    assert "without early stopping" in caplog.text


def test_noise_on_observations_blurs_what_is_learnt(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5", 20, noise=0.02)
    losses = [make(path, observation_noise=noise, max_updates=200).validation_loss or 0.0 for noise in (0.0, 1.0)]
    assert losses[1] > losses[0] + 0.5


@pytest.mark.parametrize("distribution", ["normal", "tanh_normal"])
@pytest.mark.parametrize("loss", ["nll", "mse"])
def test_actions_at_the_bounds_can_be_cloned(tmp_path: Path, distribution: Any, loss: Any) -> None:
    path = write(tmp_path / "a.hdf5", 5, noise=3.0)
    spec = PolicySection(hidden_sizes=(8,), distribution=distribution)
    report = make(path, spec=spec, section=CloneFit(loss=loss, check_every=25), max_updates=50)
    assert np.isfinite(report.train_loss)
    assert load_policy(report.path).spec.distribution == distribution


def test_a_dataset_of_other_sizes_is_refused(tmp_path: Path) -> None:
    other = EnvInfo("toy-v0", T, (-np.inf, np.inf), None, None, STATE + 1, ACTION)
    with pytest.raises(DatasetError):
        make(write(tmp_path / "a.hdf5"), env=other)
    assert not Path("a.clone.pt").exists()
