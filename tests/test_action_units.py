"""Units of actions from the recording to the robot: every verb converts between raw and scaled ones, or refuses.

Pendulum's torque is bounded by -2 and 2; with ``rescale_actions`` a policy gives [-1, 1].
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from awac_tr.buffers import load_transitions
from awac_tr.cli.main import main
from awac_tr.collect import collect, plan
from awac_tr.data import open_dataset
from awac_tr.data.convert.exporter import export_dataset
from awac_tr.data.convert.importer import ImportSettings, import_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.envs.action_units import ActionUnits, conversion
from awac_tr.envs.env_info import env_info
from awac_tr.errors import AwacError, CheckpointError, DatasetError, EnvError
from awac_tr.evaluation.evaluate import evaluate
from awac_tr.models.build import build_policy
from awac_tr.policies.checkpoint import load_policy, policy_entry, save_checkpoint
from awac_tr.recipes.env_files import EnvChanges
from awac_tr.recipes.schema import EnvSection, PolicySection
from awac_tr.replay import replay

RAW = EnvSection(id="Pendulum-v1", horizon=30)
SCALED = RAW.model_copy(update={"rescale_actions": True})
SPEC = PolicySection(hidden_sizes=(16,))


def flat(path: Path, actions: np.ndarray[Any, Any]) -> Path:
    """A D4RL file of Pendulum, [n, 1] actions as they are given, whatever was executed."""
    env, rows = gymnasium.make("Pendulum-v1"), len(actions)
    states = [env.reset(seed=0)[0]]
    states += [env.step(np.float32(action))[0] for action in np.clip(actions, -2, 2)]
    with h5py.File(path, "w") as file:
        file["observations"], file["next_observations"] = np.stack(states[:-1]), np.stack(states[1:])
        file["actions"], file["rewards"] = np.float32(actions), np.zeros(rows, np.float32)
        file["terminals"], file["timeouts"] = np.zeros(rows, bool), np.arange(rows) == rows - 1
    return path


def draws(size: float, rows: int = 100) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).uniform(-size, size, (rows, 1)).astype(np.float32)


def imported(path: Path, env: EnvSection, **settings: Any) -> np.ndarray[Any, Any]:
    import_dataset(path, "out.hdf5", settings=ImportSettings(env_id=env, **settings), overwrite=True)
    with open_dataset("out.hdf5") as dataset:
        return dataset.rows("actions")


def checkpoint(path: Path, env: EnvSection, distribution: Any = "normal") -> Path:
    """An untrained policy that was made for an environment; its actions are larger than those of new ones."""
    torch.manual_seed(0)
    facts, spec = env_info(env), SPEC.model_copy(update={"distribution": distribution})
    low, high = facts.action_bounds or ((), ())
    module = build_policy(spec, 3, 1, action_low=low, action_high=high)
    with torch.no_grad():
        module[0].module.mlp.last.weight.mul_(2000)
    sizes = {"observation_size": 3, "action_size": 1}
    entry = policy_entry(module, spec, **sizes, action_low=low, action_high=high)
    return save_checkpoint(path, {"kind": "policy", "policy": entry, "env": facts.env.to_plain(), "info": {}})


@pytest.mark.parametrize(
    ("env", "said", "size", "factor"),
    [
        (SCALED, None, 2.0, 0.5),
        (SCALED, "raw", 2.0, 0.5),
        (SCALED, "scaled", 1.0, 1.0),
        (RAW, None, 2.0, 1.0),
        (RAW, "scaled", 1.0, 2.0),
    ],
)
def test_import_converts(env: EnvSection, said: Any, size: float, factor: float, caplog: Any) -> None:
    actions = draws(size)
    with caplog.at_level(logging.INFO, "awac_tr"):
        stored = imported(flat(Path("in.hdf5"), actions), env, actions=said)
    np.testing.assert_allclose(stored, factor * actions, rtol=1e-6)
    with open_dataset("out.hdf5") as dataset:
        noted = " ".join(dataset.meta.extra["import_notes"])
        assert dataset.meta.env.rescale_actions == env.rescale_actions
    assert ("actions converted" in noted) == ("actions converted" in caplog.text) == (factor != 1)
    assert [one.code for one in validate("out.hdf5") if one.code.startswith("action")] == []


@pytest.mark.filterwarnings("ignore:.*precision lowered by casting")
def test_a_wrapper_of_bounds_leaves_the_units_open() -> None:
    narrower = {"name": "gymnasium.wrappers:RescaleAction", "kwargs": {"min_action": -3.0, "max_action": 3.0}}
    env = EnvSection.model_validate({"id": "Pendulum-v1", "horizon": 30, "wrappers": (narrower,)})
    with pytest.raises(DatasetError, match="bounds of actions from -2 to 2 to -3 to 3, and nothing tells"):
        imported(flat(Path("in.hdf5"), draws(2)), env)
    assert np.abs(imported(flat(Path("in.hdf5"), draws(2)), env, actions="raw")).max() <= 2


def test_what_may_be_scaled_is_said_on_import_and_found() -> None:
    imported(flat(Path("in.hdf5"), draws(1)), RAW)
    with open_dataset("out.hdf5") as dataset:
        assert any("--actions scaled" in note for note in dataset.meta.extra["import_notes"])
    assert "action-range" in [one.code for one in validate("out.hdf5")]
    assert [one.severity for one in validate("in.hdf5", env=RAW) if one.code == "action-range"] == ["warning"]


@pytest.mark.parametrize("size", [0.2, 0.4])
def test_small_actions_are_found(size: float) -> None:
    imported(flat(Path("in.hdf5"), draws(size)), RAW)
    assert "action-range" in [one.code for one in validate("out.hdf5")]


@pytest.mark.parametrize("env", [RAW, SCALED])
def test_actions_far_beyond_the_bounds_are_not_clipped_in_numbers(env: EnvSection) -> None:
    path = flat(Path("in.hdf5"), draws(5))
    with pytest.raises(DatasetError, match=r"of 100 rows .* outside .*too many to clip"):
        imported(path, env)
    assert not Path("out.hdf5").exists()
    assert np.abs(imported(path, env, out_of_bounds="clip")).max() == (1 if env.rescale_actions else 2)
    with pytest.raises(DatasetError, match="outside"):
        imported(flat(Path("one.hdf5"), np.append(draws(2), [[2.5]], axis=0)), env, out_of_bounds="refuse")


@pytest.mark.parametrize("said", ["raw", "scaled"])
def test_units_without_bounds_have_no_effect_which_is_refused(said: str) -> None:
    flat(Path("in.hdf5"), draws(2))
    done = CliRunner().invoke(main, ["data", "import", "in.hdf5", "--actions", said, "--out", "out.hdf5"])
    assert (done.exit_code, Path("out.hdf5").exists()) == (2, False)
    assert "--actions" in done.output and "--env" in done.output  # noqa: PT018


def test_an_export_says_its_units_and_comes_back_in_others(caplog: Any) -> None:
    collect(plan("random", env=SCALED, n=2, out="scaled.hdf5"))
    with caplog.at_level(logging.INFO, "awac_tr"):
        export_dataset("scaled.hdf5", "out.d4rl.hdf5", format_name="d4rl")
    assert "-1 and 1 stand for the bounds of Pendulum-v1" in caplog.text
    with open_dataset("scaled.hdf5") as dataset:
        actions = dataset.rows("actions")
    np.testing.assert_array_equal(imported(Path("out.d4rl.hdf5"), SCALED), actions)
    np.testing.assert_allclose(imported(Path("out.d4rl.hdf5"), RAW), 2 * actions, rtol=1e-6)
    with pytest.raises(DatasetError, match="exported by awac-tr"):
        imported(Path("out.d4rl.hdf5"), SCALED, actions="raw")


@pytest.mark.parametrize(("made", "used", "factor"), [(RAW, SCALED, 0.5), (SCALED, RAW, 2.0)])
def test_loading_and_replay_convert(made: EnvSection, used: EnvSection, factor: float, caplog: Any) -> None:
    collect(plan("random", env=made, n=2, out="a.hdf5"))
    with open_dataset("a.hdf5") as dataset:
        actions = dataset.rows("actions")
    with caplog.at_level(logging.INFO, "awac_tr"):
        loaded = load_transitions(["a.hdf5"], env=env_info(used))
    np.testing.assert_allclose(loaded["action"].numpy(), factor * actions, rtol=1e-6)
    assert "a.hdf5: actions converted" in caplog.text
    assert replay("a.hdf5", env=used).agrees
    assert [one.severity for one in validate("a.hdf5", env=used) if "rescale_actions" in one.message] == ["note"]
    collect(plan("random", env=used, n=2, out="b.hdf5"))
    with pytest.raises(DatasetError, match="scaled to"):
        load_transitions(["a.hdf5", "b.hdf5"])
    both = load_transitions(["a.hdf5", "b.hdf5"], env=env_info(used))
    assert float(both["action"].abs().max()) <= (1 if used.rescale_actions else 2)


def test_a_file_that_does_not_tell_its_units_is_not_taken_for_scaled() -> None:
    flat(Path("foreign.hdf5"), draws(2))
    with pytest.raises(DatasetError, match="does not tell the units"):
        load_transitions(["foreign.hdf5"], env=env_info(SCALED))
    assert float(load_transitions(["foreign.hdf5"], env=env_info(RAW))["action"].abs().max()) > 1.9


def test_actions_beyond_the_environments_bounds_are_counted_on_loading(caplog: Any) -> None:
    actions = draws(2)
    actions[:10] = 2.5
    import_dataset(flat(Path("in.hdf5"), actions), "mine.hdf5")  # without --env: bounds as the actions have them
    with caplog.at_level(logging.WARNING, "awac_tr"):
        loaded = load_transitions(["mine.hdf5"], env=env_info(RAW))
    assert "10 of 100 rows (10 entries) have actions outside -2 to 2, by up to 0.5; clipped" in caplog.text
    assert float(loaded["action"].max()) == 2
    with pytest.raises(DatasetError, match="10 of 100 rows"):
        load_transitions(["mine.hdf5"], env=env_info(RAW), out_of_bounds="refuse")
    import_dataset(flat(Path("in.hdf5"), draws(5)), "far.hdf5")
    with pytest.raises(DatasetError, match=r"data\.out_of_bounds=clip"):
        load_transitions(["far.hdf5"], env=env_info(RAW))
    load_transitions(["far.hdf5"], env=env_info(RAW), out_of_bounds="clip")


@pytest.mark.parametrize("made", [RAW, SCALED])
@pytest.mark.parametrize("distribution", ["normal", "tanh_normal"])
def test_a_policy_does_the_same_however_its_environment_is_named(
    made: EnvSection, distribution: str, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "a.pt", made, distribution)
    expected = evaluate(path, episodes=2).measures["return"].mean
    ways: list[Any] = [
        "Pendulum-v1",
        EnvChanges("Pendulum-v1", ("horizon=30",)),
        EnvChanges(None, ("horizon=30",)),
        RAW,
        SCALED,
    ]
    found = [evaluate(path, episodes=2, env=way).measures["return"].mean for way in ways]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    made_by = plan("policy", policy=path, env=EnvChanges("Pendulum-v1", ("kwargs.g=10.0",)), n=1, out="a.hdf5")
    assert made_by.env.rescale_actions == made.rescale_actions
    assert plan("policy", policy=path, env="Pendulum-v1").env == made


def test_what_differs_where_a_policy_acts_is_said(tmp_path: Path, caplog: Any) -> None:
    path = checkpoint(tmp_path / "a.pt", SCALED)
    with caplog.at_level(logging.INFO, "awac_tr"):
        evaluate(path, episodes=1, env=EnvChanges(None, ("kwargs.g=5.0", "rescale_actions=false")))
    assert 'trained with kwargs {}, not {"g": 5.0}' in caplog.text
    assert "actions of" in caplog.text
    assert "are converted: -1 to 1 to raw -2 to 2" in caplog.text


@pytest.fixture
def limited() -> Any:
    """Pendulum with another bound of its torque."""

    class Limited(gymnasium.ActionWrapper[Any, Any, Any]):
        def __init__(self, env: Any, limit: float) -> None:
            super().__init__(env)
            self.action_space = gymnasium.spaces.Box(-limit, limit, (1,), np.float64)

        def action(self, action: Any) -> Any:
            return action

    name = "UnitsPendulum-v0"
    make = lambda limit=2.0, **rest: Limited(gymnasium.make("Pendulum-v1", **rest).unwrapped, limit)  # noqa: E731
    gymnasium.register(name, make, max_episode_steps=30)
    yield lambda limit, **more: EnvSection(id=name, kwargs={"limit": limit}, **more)
    gymnasium.registry.pop(name)


@pytest.mark.parametrize("rescale", [False, True])
def test_a_policy_of_other_bounds_acts_only_if_that_is_allowed(limited: Any, rescale: bool, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.pt", limited(0.2, rescale_actions=rescale))
    with pytest.raises(CheckpointError, match=r"0\.2.*takes.*0\.3"):
        evaluate(path, episodes=1, env=limited(0.3, rescale_actions=rescale))
    wide = evaluate(path, episodes=1, env=limited(0.3, rescale_actions=rescale), allow_bounds_mismatch=True)
    assert wide.to_json()["allow_bounds_mismatch"]
    own = evaluate(path, episodes=1)
    np.testing.assert_allclose(wide.measures["return"].mean, own.measures["return"].mean, rtol=1e-4)
    with pytest.raises(CheckpointError, match="no mismatch"):
        evaluate(path, episodes=1, allow_bounds_mismatch=True)


def test_scaled_data_of_other_bounds_keeps_its_torques(limited: Any) -> None:
    collect(plan("random", env=limited(0.2, rescale_actions=True), n=1, out="a.hdf5"))
    with open_dataset("a.hdf5") as dataset:
        actions = dataset.rows("actions")
    loaded = load_transitions(["a.hdf5"], env=env_info(limited(0.4, rescale_actions=True)))
    np.testing.assert_allclose(loaded["action"].numpy(), actions / 2, rtol=1e-6)


RECIPE = """\
name: units
env: {{id: {env}, horizon: 30, rescale_actions: {scaled}, kwargs: {kwargs}}}
data: {{datasets: [{data}]}}
policy: {{hidden_sizes: [16], init_from: "{init}"}}
qvalue: {{hidden_sizes: [8]}}
offline: {{updates: 1, batch_size: 16}}
online: {{steps: 0}}
eval: {{every: 0}}
compile: false
"""


def prepared(init: Path, env: EnvSection, data: str) -> Any:
    from awac_tr.recipes.loader import load_recipe
    from awac_tr.training.experiment_setup import prepare

    text = RECIPE.format(env=env.id, scaled=str(env.rescale_actions).lower(), kwargs=env.kwargs, data=data, init=init)
    Path("units.yaml").write_text(text)
    return prepare(load_recipe("units.yaml").recipe)


@pytest.mark.parametrize(("made", "used"), [(RAW, SCALED), (SCALED, RAW), (RAW, RAW), (SCALED, SCALED)])
def test_a_run_starts_from_a_policy_in_other_units(made: EnvSection, used: EnvSection, tmp_path: Path) -> None:
    collect(plan("random", env=used, n=1, out="a.hdf5"))
    path = checkpoint(tmp_path / "a.pt", made)
    rig = prepared(path, used, "a.hdf5")
    observations = torch.randn(20, 3)
    before = load_policy(path).module[0](observation=observations)[0]
    after = rig.learner.policy[0](observation=observations)[0]
    back = conversion(env_info(used).units or ActionUnits(None), env_info(made).units or ActionUnits(None))
    found = after.detach().numpy() if back is None else back(after.detach().numpy())
    np.testing.assert_allclose(found, before.numpy(), rtol=1e-5)


def test_a_run_does_not_start_from_a_policy_of_other_bounds(limited: Any, tmp_path: Path) -> None:
    collect(plan("random", env=limited(0.3), n=1, out="a.hdf5"))
    path = checkpoint(tmp_path / "a.pt", limited(0.2))
    with pytest.raises(CheckpointError, match=r"init_from: .* gives actions of -0.2 to 0.2, .* takes -0.3 to 0.3"):
        prepared(path, limited(0.3), "a.hdf5")


@pytest.mark.parametrize("source", ["random", "ou"])
@pytest.mark.parametrize("low", [-np.inf, 0.0])
def test_noise_without_bounds_is_named(source: Any, low: float) -> None:
    name = "UnitsBoundless-v0"

    def make(**rest: Any) -> Any:
        env = gymnasium.make("Pendulum-v1", **rest).unwrapped
        env.action_space = gymnasium.spaces.Box(low, np.inf, (1,), np.float32)
        return env

    gymnasium.register(name, make, max_episode_steps=30)
    try:
        with pytest.raises(EnvError, match=f"actions of {name} have no finite bounds.*--source {source}"):
            collect(plan(source, env=name, n=1, out="a.hdf5"))
        assert list(Path().iterdir()) == []
    finally:
        gymnasium.registry.pop(name)


def test_float64_bounds_are_not_passed_by_rounding(limited: Any) -> None:
    from awac_tr.envs.episode import action_bounds
    from awac_tr.envs.make import make_env

    env = make_env(limited(0.1))  # the nearest float32 is larger
    low, high = action_bounds(env)
    assert (low.dtype, env.action_space.contains(high), env.action_space.contains(low)) == (np.float32, True, True)


@pytest.mark.parametrize("distribution", ["normal", "tanh_normal"])
def test_act_takes_one_or_a_batch_and_refuses_the_rest(distribution: str, tmp_path: Path) -> None:
    policy = load_policy(checkpoint(tmp_path / "a.pt", RAW, distribution))
    batch = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    acts = policy.act(batch)
    assert acts.shape == (4, 1)
    np.testing.assert_array_equal(acts, np.stack([policy.act(row) for row in batch]))
    assert policy.act(np.full(3, 1e30)).shape == (1,)  # finite, although its square is not
    for wrong in (np.zeros(4), np.zeros((2, 4)), np.zeros((1, 1, 3)), 0.0):
        with pytest.raises(AwacError, match="observations of 3 numbers"):
            policy.act(wrong)
    with pytest.raises(AwacError, match="NaN or infinity"):
        policy.act([0.0, np.nan, 0.0])
