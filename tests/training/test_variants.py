"""Recipes off the beaten path run as well: other policies, precision, threads, a clone to start from and to beat."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from evaluating import evaluate_policy

from awac_tr.envs.env_info import env_info
from awac_tr.errors import CheckpointError
from awac_tr.policies.checkpoint import load_policy
from awac_tr.policies.controllers import load_controller
from awac_tr.recipes.cards import CloneFit
from awac_tr.recipes.loader import LoadedRecipe
from awac_tr.recipes.schema import EnvSection, PolicySection
from awac_tr.training.cloning import clone, clone_path
from awac_tr.training.experiment_setup import prepare
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

Tiny = Callable[..., LoadedRecipe]
SHORT = (
    "offline.updates=4",
    "online.steps=4",
    "online.steps_per_round=2",
    "eval.every=0",
    "eval.episodes=1",
    "log.every=2",
)


@pytest.mark.parametrize(
    "settings",
    [
        ("precision=bf16",),
        ("policy.distribution=tanh_normal", "policy.std=dependent"),
        (
            "algorithm.weighting=softmax",
            "algorithm.value_estimate=mean",
            "algorithm.advantage_max=0.5",
            "algorithm.ignore_terminals=true",
        ),
        ("algorithm.value_samples=3", "algorithm.weight_max=20.0", "qvalue.count=3"),
        ("data.normalize_observations=false", "threads=2"),
    ],
    ids=lambda settings: settings[0],
)
def test_settings_run(tiny: Tiny, tmp_path: Path, settings: tuple[str, ...]) -> None:
    threads = torch.get_num_threads()
    run = train(tiny(*SHORT, *settings), run_dir=tmp_path / "run", quiet=True)
    assert read_rows(run)[-1]["env_step"] == 4
    assert load_policy(run / "checkpoints" / "last.pt").action_size == 28
    assert torch.get_num_threads() == threads


def test_statistics_come_from_the_data(tiny: Tiny) -> None:
    rig = prepare(tiny().recipe)
    state = rig.learner.policy.state_dict()
    observations = rig.buffer[:]["observation"]
    (loc,) = (value for name, value in state.items() if name.endswith("loc"))
    torch.testing.assert_close(loc, observations.mean(0), rtol=1e-4, atol=1e-5)


@pytest.fixture
def cloned(random_play: Path, tmp_path: Path) -> Path:
    """A copy of the dataset with a clone beside it."""
    dataset = tmp_path / "cloned.hdf5"
    shutil.copy(random_play, dataset)
    spec, section = PolicySection(hidden_sizes=(8,)), CloneFit(check_every=5, patience=1)
    facts = env_info("door-binary-v0")
    clone([dataset], facts, spec, section, seed=0, max_updates=10, batch_size=16, out=clone_path(dataset))
    return dataset


@pytest.mark.parametrize(
    ("settings", "phases"),
    [
        (["eval.every=10"], ["offline", "clone", "offline", "offline"]),
        (["eval.every=10", "eval.background=true"], ["offline", "clone", "offline", "offline"]),
        (["offline.updates=1", "eval.every=0"], ["offline", "clone", "offline"]),
    ],
)
def test_the_clone_is_measured_once_and_the_first_update_need_not_wait(
    tiny: Tiny, tmp_path: Path, cloned: Path, settings: list[str], phases: list[str]
) -> None:
    recipe = tiny("online.steps=0", "offline.updates=20", f"data.datasets=[{cloned}]", *settings)
    run = train(recipe, run_dir=tmp_path / "run", quiet=True)
    rows = read_rows(run)
    evaluated = [row for row in rows if row["event"] == "eval"]
    assert [row["phase"] for row in evaluated] == phases
    summary = json.loads((run / "summary.json").read_text())
    assert summary["points"]["clone"]["return"] == evaluated[1]["return"]
    assert summary["points"]["start"]["update"] == 0
    policy = load_controller(clone_path(cloned), "mean", env=env_info("door-binary-v0"))
    section = recipe.recipe.eval
    alone = evaluate_policy(
        policy, EnvSection(id="door-binary-v0", horizon=25), episodes=section.episodes, seed=section.seed
    )
    assert {name: evaluated[1][name] for name in alone} == alone


def test_without_a_clone_none_is_measured(tiny: Tiny, tmp_path: Path, cloned: Path) -> None:
    without = train(
        tiny(*SHORT, f"data.datasets=[{cloned}]", "eval.clone=false"), run_dir=tmp_path / "other", quiet=True
    )
    assert json.loads((without / "summary.json").read_text())["points"]["clone"] is None


def test_the_clone_as_a_beginning(tiny: Tiny, cloned: Path) -> None:
    rig = prepare(tiny(f"data.datasets=[{cloned}]", "policy.init_from=clone").recipe)
    started, source = rig.learner.policy.state_dict(), load_policy(clone_path(cloned)).module.state_dict()
    assert all(torch.equal(started[name], value) for name, value in source.items())


def test_another_kind_of_policy_is_no_beginning(tiny: Tiny, cloned: Path) -> None:
    with pytest.raises(CheckpointError, match="another kind"):
        prepare(tiny(f"policy.init_from={clone_path(cloned)}", "policy.std=dependent").recipe)
    with pytest.raises(CheckpointError, match="another kind"):
        prepare(tiny(f"policy.init_from={clone_path(cloned)}", "policy.hidden_sizes=[4]").recipe)


def test_a_buffer_that_overflows_forgets_the_oldest(tiny: Tiny) -> None:
    rig = prepare(tiny("buffer.capacity=110").recipe)
    collected = rig.collector_after(0).collect(30)
    rig.buffer.extend(collected)
    rig.close()
    assert len(rig.buffer) == 110
    assert torch.equal(rig.buffer[:20]["observation"], collected["observation"][10:])
