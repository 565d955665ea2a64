"""A file never decides what is imported: only the user does, by naming it or by saying that the file is trusted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.collectors.episodes import rollout, rollouts
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.validate import validate
from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env, make_torchrl_env
from awac_tr.errors import UntrustedCodeError
from awac_tr.models.build import build_policy
from awac_tr.policies.checkpoint import load_policy, policy_entry, save_checkpoint
from awac_tr.policies.noise import RandomController
from awac_tr.recipes.schema import EnvSection, FoundEnv, PolicySection

LOW, HIGH = np.full(1, -2.0, np.float32), np.full(1, 2.0, np.float32)

CANARY = """
from pathlib import Path
import gymnasium
from gymnasium.envs.classic_control import PendulumEnv
(Path(__file__).parent / "mark").touch()
class Wrapper(gymnasium.Wrapper):
    pass
def rule(observation, action, next_observation, info):
    return -1.0
gymnasium.register("Canary-v0", PendulumEnv, max_episode_steps=8)
"""


class Canary:
    """A module that leaves a mark when it is imported, and descriptions that name it."""

    def __init__(self, folder: Path) -> None:
        self.name, self._mark = f"canary_{folder.name}", folder / "mark"
        (folder / f"{self.name}.py").write_text(CANARY)

    @property
    def sang(self) -> bool:
        return self._mark.exists()

    def env(self, how: str) -> EnvSection:
        named: dict[str, dict[str, Any]] = {
            "id": {"id": f"{self.name}:Canary-v0"},
            "wrapper": {"wrappers": [f"{self.name}:Wrapper"]},
            "wrapper with arguments": {"wrappers": [{"name": f"{self.name}:Wrapper", "kwargs": {}}]},
            "reward": {"reward": f"{self.name}:rule"},
            "all": {
                "id": f"{self.name}:Canary-v0",
                "wrappers": [f"{self.name}:Wrapper"],
                "reward": f"{self.name}:rule",
            },
            "gate": {"id": "GymV26Environment-v0", "kwargs": {"env_id": f"{self.name}:Canary-v0"}},
        }
        return EnvSection.from_plain({"id": "Pendulum-v1", "horizon": 8, **named[how]})


WAYS = ("id", "wrapper", "wrapper with arguments", "reward", "gate")


@pytest.fixture
def canary(tmp_path: Path) -> Any:
    made = Canary(tmp_path)
    yield made
    sys.modules.pop(made.name, None)
    gymnasium.registry.pop("Canary-v0", None)


@pytest.fixture
def dataset(tmp_path: Path, canary: Canary) -> Callable[[str], Path]:
    """A sound file of four episodes of the pendulum, said to be of an environment that names the canary."""

    def write(how: str) -> Path:
        env, path = canary.env(how), tmp_path / "stranger.hdf5"
        meta = DatasetMeta(
            env.id, "random", LOW, HIGH, env_kwargs=env.kwargs, env_options=env.options, horizon=env.horizon
        )
        plain = make_env(EnvSection(id="Pendulum-v1", horizon=8))
        with DatasetWriter(path, meta) as writer:
            for seed in range(4):
                writer.append(rollout(plain, RandomController(LOW, HIGH), seed))
            writer.finish()
        return path

    return write


@pytest.fixture
def checkpoint(tmp_path: Path, canary: Canary) -> Callable[[str], Path]:
    def write(how: str) -> Path:
        spec = PolicySection(hidden_sizes=(4,))
        sizes: dict[str, Any] = {"observation_size": 3, "action_size": 1, "action_low": LOW, "action_high": HIGH}
        entry = policy_entry(
            build_policy(spec, 3, 1, action_low=torch.from_numpy(LOW), action_high=torch.from_numpy(HIGH)),
            spec,
            **sizes,
        )
        payload = {"kind": "policy", "policy": entry, "env": canary.env(how).to_plain(), "info": {}}
        return save_checkpoint(tmp_path / "stranger.pt", payload)

    return write


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, canary: Canary) -> None:
    """One message, which names what was not imported and how to allow it."""
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert "names code, which was not imported" in said
    assert canary.name in said
    assert "--trust" in said
    assert not canary.sang


@pytest.mark.parametrize("how", ["all", "gate"])
def test_looking_at_a_dataset_imports_nothing(dataset: Callable[[str], Path], canary: Canary, how: str) -> None:
    path = dataset(how)
    for arguments in (
        ("info", path),
        ("info", path, "--json"),
        ("list", path.parent, "--json"),
        ("validate", path),
        ("plot", path, "--out", "a.png"),
        ("report", path, "--out", "a.html"),
        ("split", path, "--parts", "a=0.5,b=0.5", "--out", "{name}-{part}.hdf5"),
        ("filter", path, "--where", "length > 1", "--out", "some.hdf5"),
        ("merge", "stranger-a.hdf5", "stranger-b.hdf5", "--out", "whole.hdf5"),
        ("export", path, "--format", "d4rl", "--out", "d4rl.hdf5"),
        ("export", path, "--format", "robomimic", "--out", "robomimic.hdf5"),
        ("import", "d4rl.hdf5", "--out", "again.hdf5"),
        ("import", "robomimic.hdf5", "--out", "once-more.hdf5"),
        ("validate", "again.hdf5"),
    ):
        result = call("data", *arguments)
        assert result.exit_code == 0, (arguments, result.output)
        assert not canary.sang, arguments
    with open_dataset("again.hdf5") as again:
        assert again.meta.env == canary.env(how)


@pytest.mark.parametrize("how", ["all", "gate"])
def test_a_minari_export_imports_nothing(
    dataset: Callable[[str], Path], canary: Canary, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    result = call("data", "export", dataset(how), "--format", "minari", "--out", "some/canary-v0")
    assert result.exit_code == 0, result.output
    assert not canary.sang
    result = call("data", "import", "some/canary-v0", "--out", "back.hdf5")
    assert result.exit_code == 0, result.output
    assert not canary.sang


@pytest.mark.parametrize("how", WAYS)
def test_replays_are_refused(dataset: Callable[[str], Path], canary: Canary, how: str) -> None:
    path = dataset(how)
    refused(call("data", "replay", path), canary)


@pytest.mark.parametrize("how", WAYS)
def test_validation_says_that_it_did_not_look(dataset: Callable[[str], Path], canary: Canary, how: str) -> None:
    notes = [one for one in validate(dataset(how)) if one.code == "unknown-env"]
    assert [one.severity for one in notes] == ["note"]
    assert canary.name in notes[0].message
    assert not canary.sang


def test_naming_the_environment_does_not_allow_what_else_the_file_names(
    dataset: Callable[[str], Path], canary: Canary
) -> None:
    path = dataset("reward")
    for verb in ("replay", "validate"):
        refused(call("data", verb, path, "--env", "Pendulum-v1"), canary)


@pytest.mark.parametrize("how", ["id", "wrapper", "reward"])
def test_trusted_datasets_are_replayed_and_held_against_their_environment(
    dataset: Callable[[str], Path], canary: Canary, how: str
) -> None:
    path = dataset(how)
    result = call("data", "validate", path, "--trust")
    assert result.exit_code == 0, result.output
    assert "unknown-env" not in result.output
    assert canary.sang
    replayed = call("data", "replay", path, "--trust", "--json")
    # the rows are those of the plain pendulum: only a reward of the canary's own departs
    assert replayed.exit_code == (1 if how == "reward" else 0), replayed.output


@pytest.mark.parametrize("how", WAYS)
def test_checkpoints_act_nowhere(checkpoint: Callable[[str], Path], canary: Canary, how: str) -> None:
    path = checkpoint(how)
    refused(call("eval", path, "--episodes", 1), canary)
    refused(call("collect", "--source", "policy", "--policy", path, "--n", 1, "--out", "a.hdf5"), canary)
    assert not Path("a.hdf5").exists()


@pytest.mark.parametrize("how", ["id", "wrapper", "reward"])
def test_trusted_checkpoints_act(checkpoint: Callable[[str], Path], canary: Canary, how: str) -> None:
    path = checkpoint(how)
    assert call("eval", path, "--episodes", 1, "--trust").exit_code == 0
    assert canary.sang
    result = call("collect", "--source", "policy", "--policy", path, "--n", 1, "--out", "a.hdf5", "--trust")
    assert result.exit_code == 0, result.output
    with open_dataset("a.hdf5") as made:
        assert made.meta.env == canary.env(how)


def test_what_the_user_describes_needs_no_trust(
    checkpoint: Callable[[str], Path], dataset: Callable[[str], Path], canary: Canary, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"env:\n  id: Pendulum-v1\n  horizon: 8\n  reward: {canary.name}:rule\n  reward_range: [-1.5, -0.5]\n"
    )
    assert call("eval", checkpoint("reward"), "--episodes", 1, "--env", recipe).exit_code == 0
    result = call("data", "validate", dataset("reward"), "--env", recipe)
    assert (result.exit_code, "reward-range" in result.output) == (1, True)  # they are the plain pendulum's
    assert canary.sang


def test_the_module_of_an_id_may_be_named_by_the_user(checkpoint: Callable[[str], Path], canary: Canary) -> None:
    path = checkpoint("id")
    assert call("eval", path, "--episodes", 1, "--env", f"{canary.name}:Canary-v0").exit_code == 0
    assert canary.sang


@pytest.mark.parametrize("how", WAYS)
def test_from_python_too(
    dataset: Callable[[str], Path], checkpoint: Callable[[str], Path], canary: Canary, how: str
) -> None:
    with open_dataset(dataset(how)) as opened:
        found = opened.meta.env
    assert isinstance(found, FoundEnv)
    loaded = load_policy(checkpoint(how)).env
    assert loaded == found == canary.env(how)
    makers: tuple[Callable[[EnvSection], Any], ...] = (make_env, make_torchrl_env, env_info)
    for env in (found, loaded, found.model_copy(update={"horizon": 3})):
        for make in makers:
            with pytest.raises(UntrustedCodeError):
                make(env)
        with pytest.raises(UntrustedCodeError):
            next(rollouts(env, lambda: RandomController(LOW, HIGH), [1]))
    assert not canary.sang


def test_what_names_no_code_is_made_as_it_is() -> None:
    found = FoundEnv(id="gymnasium_robotics:FetchReach-v4", kwargs={"reward_type": "sparse"}, rescale_actions=True)
    assert found.code == ()
    assert env_info(found).env.name == "FetchReach-v4"


def stranger(path: Path, kwargs: dict[str, Any]) -> dict[str, Path]:
    """A dataset and a checkpoint that say they are of a cheetah with these arguments."""
    env = EnvSection(id="HalfCheetah-v5", kwargs=kwargs, horizon=8)
    low, high = -np.ones(6, np.float32), np.ones(6, np.float32)
    meta = DatasetMeta(env.id, "random", low, high, env_kwargs=kwargs, horizon=8)
    with DatasetWriter(path / "cheetah.hdf5", meta) as writer:
        writer.append(rollout(make_env(EnvSection(id="HalfCheetah-v5", horizon=8)), RandomController(low, high), 0))
        writer.finish()
    spec = PolicySection(hidden_sizes=(4,))
    entry = policy_entry(
        build_policy(spec, 17, 6), spec, observation_size=17, action_size=6, action_low=low, action_high=high
    )
    payload = {"kind": "policy", "policy": entry, "env": env.to_plain(), "info": {}}
    return {"dataset": path / "cheetah.hdf5", "checkpoint": save_checkpoint(path / "cheetah.pt", payload)}


PATHS: dict[str, tuple[dict[str, Any], str]] = {
    "absolute": ({"xml_file": "/dev/null"}, "kwargs.xml_file '/dev/null'"),
    "upwards": ({"xml_file": "../model.xml"}, "kwargs.xml_file '../model.xml'"),
    "within": ({"xml_file": "models/cheetah.xml"}, "kwargs.xml_file 'models/cheetah.xml'"),
    "here": ({"xml_file": "./cheetah.xml"}, "kwargs.xml_file './cheetah.xml'"),
    "hidden": ({"xml_file": ".cheetah.xml"}, "kwargs.xml_file '.cheetah.xml'"),
    "home": ({"xml_file": "~root"}, "kwargs.xml_file '~root'"),
    "of Windows": ({"xml_file": "a\\b.xml"}, "kwargs.xml_file"),
    "an address": ({"xml_file": "https://example.org/a.xml"}, "kwargs.xml_file 'https://example.org/a.xml'"),
    "that exists": ({"xml_file": "there.xml"}, "kwargs.xml_file 'there.xml'"),
    "nested": ({"default_camera_config": {"a": [1, {"b": "/dev/null"}]}}, "kwargs.default_camera_config.a.b"),
    "a key": ({"default_camera_config": {"/dev/null": 1}}, "kwargs.default_camera_config '/dev/null'"),
}


@pytest.mark.parametrize("how", PATHS)
def test_paths_of_a_stranger_are_not_opened(tmp_path: Path, how: str) -> None:
    kwargs, said = PATHS[how]
    Path("there.xml").write_text("<mujoco/>")
    made = stranger(tmp_path, kwargs)
    for file, arguments in (
        ("dataset", ("data", "replay", made["dataset"])),
        ("checkpoint", ("eval", made["checkpoint"], "--episodes", 1)),
        ("checkpoint", ("collect", "--source", "policy", "--policy", made["checkpoint"], "--out", "a.hdf5")),
    ):
        result = call(*arguments)
        words = " ".join(result.stderr.split())
        assert result.exit_code == 2, result.output
        assert f"{made[file].name} names files, which were not opened: {said}" in words or "code, which" in words, words
        assert said in words
        assert "--trust" in words
    notes = [one for one in validate(made["dataset"]) if one.code == "unknown-env"]
    assert said in notes[0].message
    trusted = call("data", "replay", made["dataset"], "--trust")
    assert "names files" not in trusted.output


@pytest.mark.parametrize("kwargs", [{"xml_file": "half_cheetah.xml"}, {"forward_reward_weight": 1.0}], ids=str)
def test_models_of_the_simulator_itself_need_no_trust(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    made = stranger(tmp_path, kwargs)
    assert call("data", "replay", made["dataset"]).exit_code == 0
    assert call("eval", made["checkpoint"], "--episodes", 1).exit_code == 0


def test_arguments_of_wrappers_are_looked_through() -> None:
    wrapped = FoundEnv.from_plain({"id": "A-v0", "wrappers": [{"name": "a:B", "kwargs": {"folder": "/dev"}}]})
    assert wrapped.paths == ("wrappers.a:B.folder '/dev'",)
    assert FoundEnv(id="A-v0", kwargs={"a": [{"b": "module:Env-v0"}]}).code == ("module:Env-v0",)
    honest = {"tasks": ["microwave", "kettle"], "reward_type": "sparse", "maze": [[1, "r"], ["g", 0]], "x": None}
    assert FoundEnv(id="D4RL/kitchen/complete-v2", kwargs=honest).paths == ()
