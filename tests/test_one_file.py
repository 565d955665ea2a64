"""docs/awac_in_one_file.py is a specification: with the same seed its losses are the package's."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
import torch

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode
from awac_tr.recipes.loader import load_recipe
from awac_tr.training.experiment_setup import prepare

UPDATES = 200
SMALL = {"policy_hidden": (32, 32), "q_hidden": (32, 32), "offline_batch": 64}
SMALL_RECIPE = {"policy.hidden_sizes": "[32,32]", "qvalue.hidden_sizes": "[32,32]", "offline.batch_size": "64"}


@pytest.fixture(scope="module")
def script(repository: Path) -> Any:
    spec = spec_from_file_location("awac_in_one_file", repository / "docs" / "awac_in_one_file.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Episodes of the door's shape with rewards of both kinds, and ends of both kinds."""
    rng = np.random.default_rng(0)
    meta = DatasetMeta(
        env_id="door-binary-v0", env_kwargs={}, horizon=50, source="random", policy="", action_low=[-1.0] * 28,
        action_high=[1.0] * 28, licence="CC0-1.0", description="",
    )  # fmt: skip
    path = tmp_path / "made.hdf5"
    with DatasetWriter(path, meta) as writer:
        for number in range(8):
            states = rng.normal(size=(51, 39)).astype(np.float32)
            last = np.arange(50) == 49
            writer.append(
                Episode(
                    observations=states[:-1],
                    next_observations=states[1:],
                    actions=rng.uniform(-1, 1, (50, 28)).astype(np.float32),
                    rewards=-(rng.random(50) < 0.7).astype(np.float32),
                    terminals=last & (number % 2 == 0),
                    timeouts=last & (number % 2 == 1),
                    infos={},
                    seed=number,
                )
            )
        writer.finish()
    return path


@pytest.mark.parametrize(
    ("recipe", "settings", "changes"),
    [
        ("door", "paper", {}),
        ("door-authors", "authors", {}),
        ("halfcheetah", "paper-locomotion", {"env.id": "door-binary-v0"}),
    ],
)
def test_its_losses_are_the_packages(
    script: Any, dataset: Path, recipe: str, settings: str, changes: dict[str, str]
) -> None:
    told = SMALL_RECIPE | changes | {"data.datasets": f"[{dataset}]", "seed": "7", "device": "cpu", "compile": "false"}
    rig = prepare(load_recipe(recipe, [f"{key}={value}" for key, value in told.items()]).recipe)
    buffer = script.Buffer(dataset)
    agent, generator, _ = script.make(buffer, script.SETTINGS[settings] | SMALL, 7)
    drawn = torch.get_rng_state()
    specified = [agent.update(buffer.sample(64, generator)) for _ in range(UPDATES)]
    torch.set_rng_state(drawn)
    updates = (rig.learner.update(rig.buffer.sample(64)) for _ in range(UPDATES))
    measured = [(losses["loss_actor"].item(), losses["loss_qvalue"].item()) for losses in updates]
    rig.close()
    np.testing.assert_allclose(measured, specified, rtol=1e-6)
    assert len({policy_loss for policy_loss, _ in specified}) == UPDATES


@pytest.mark.parametrize(
    ("recipe", "settings"), [("door", "paper"), ("door-authors", "authors"), ("halfcheetah", "paper-locomotion")]
)
def test_its_sizes_are_those_of_the_recipes(script: Any, recipe: str, settings: str) -> None:
    shipped, said = load_recipe(recipe).recipe, script.SETTINGS[settings]
    assert (said["policy_hidden"], said["q_hidden"]) == (shipped.policy.hidden_sizes, shipped.qvalue.hidden_sizes)
    assert (said["offline_batch"], said["online_batch"]) == (shipped.offline.batch_size, shipped.online.batch_size)
    assert shipped.buffer.capacity == script.CAPACITY
    assert (shipped.online.steps_per_round, shipped.online.updates_per_step) == (script.ROUND, 1.0)


def test_what_is_collected_is_what_was_done_and_the_oldest_give_way(script: Any, dataset: Path) -> None:
    buffer = script.Buffer(dataset, capacity=450)
    agent, _, seed = script.make(buffer, script.SETTINGS["authors"] | SMALL, 0)
    env = gymnasium.make("door-binary-v0", max_episode_steps=30)
    steps = list(islice(script.experience(env, agent, seed), 60))
    for step in steps:
        buffer.add(*step)
    assert (buffer.size, buffer.written) == (450, 460)
    row = 59 - 50  # the last step, ten beyond the end
    assert all(
        torch.equal(kept[row], torch.as_tensor(value, dtype=torch.float32))
        for kept, value in zip(buffer.rows, steps[-1], strict=True)
    )
    starts = [number for number in range(1, 60) if (steps[number][0] != steps[number - 1][3]).any()]
    assert starts == [30]
    env.reset(seed=seed)
    for number in range(30):
        np.testing.assert_array_equal(env.step(steps[number][1])[0], steps[number][3])


def test_it_runs_offline_and_online(
    script: Any, dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = ["--offline", "3", "--online", "4", "--episodes", "1"]
    monkeypatch.setattr(sys, "argv", ["", str(dataset), "--settings", "authors", *budget])
    script.main()
    told = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in told] == ["start", "offline 3", "online 4"]
    assert all(line.endswith("success 0%  share of steps 0.000  return -200.0") for line in told)


def test_rewards_that_its_bounds_do_not_hold_for_are_refused(
    script: Any, dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(dataset, "r+") as file:
        file["rewards"][0] = 5.0
    monkeypatch.setattr(sys, "argv", ["", str(dataset)])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    assert "rewards in [-1, 0]" in capsys.readouterr().err
