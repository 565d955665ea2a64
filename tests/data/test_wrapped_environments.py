"""Datasets of environments with something put around them: they are sound, and belong to that environment alone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from awac_tr.buffers import load_transitions
from awac_tr.collect import collect, ensure_datasets, plan
from awac_tr.data.convert.exporter import export_dataset
from awac_tr.data.convert.importer import ImportSettings, import_dataset
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.envs.env_info import env_info
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import EnvSection

CLOCK = "gymnasium.wrappers:TimeAwareObservation"
PENDULUM = EnvSection(id="Pendulum-v1", horizon=8, rescale_actions=True)


def collected(env: EnvSection, path: Path) -> Path:
    collect(plan("random", env=env, n=3, out=path))
    return path


def loud(path: Path, **options: Any) -> list[str]:
    return [f"{one.code}: {one.message}" for one in validate(path, **options) if one.severity != "note"]


@pytest.fixture
def rule(tmp_path: Path) -> str:
    """A reward rule in a file of the working folder."""
    name = f"mine_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text("def rule(before, action, after, info):\n    return -abs(float(action[0]))\n")
    return f"{name}:rule"


@pytest.mark.parametrize(
    "env",
    [
        PENDULUM,
        PENDULUM.model_copy(update={"wrappers": (CLOCK,)}),
        EnvSection(id="Hopper-v5", horizon=20, kwargs={"reset_noise_scale": 0.1}, rescale_actions=True),
        EnvSection(id="door-binary-v0", horizon=5, rescale_actions=True),
        EnvSection(id="gymnasium_robotics:FetchReach-v4", horizon=6, rescale_actions=True),
    ],
    ids=["actions", "wrapper", "hopper", "ours", "goals"],
)
def test_what_was_collected_is_sound(tmp_path: Path, env: EnvSection) -> None:
    path = collected(env, tmp_path / "a.hdf5")
    assert loud(path, trust=True) == []
    with open_dataset(path) as dataset:
        assert dataset.meta.env == env_info(env).env
        assert set(dataset.meta.action_high) == {1.0}
    load_transitions([path], env=env_info(env), action_margin=0.0)


def test_a_rule_is_no_false_alarm(tmp_path: Path, rule: str) -> None:
    env = EnvSection(id="door-binary-v0", horizon=5, reward=rule)  # its rewards are not -1 and 0
    path = collected(env, tmp_path / "a.hdf5")
    assert loud(path, trust=True) == []
    assert loud(path) == []


def test_another_reward_is_refused(tmp_path: Path, rule: str) -> None:
    wanted, said = PENDULUM.model_copy(update={"reward": rule}), "reward null, not mine_"
    path = collected(PENDULUM, tmp_path / "a.hdf5")
    with pytest.raises(DatasetError) as caught:
        load_transitions([path], env=env_info(wanted), action_margin=0.0)
    assert said in str(caught.value)
    assert any(said in one for one in loud(path, env=wanted))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kwargs": {"g": 5.0}}, 'kwargs {}, not {"g": 5.0}'),
        ({"wrappers": ("gymnasium.wrappers:RecordEpisodeStatistics",)}, "wrappers [], not"),
    ],
)
def test_other_wrappers_or_arguments_are_said(
    tmp_path: Path, change: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = collected(PENDULUM, tmp_path / "a.hdf5")
    with caplog.at_level(logging.WARNING, "awac_tr"):
        load_transitions([path], env=env_info(PENDULUM.model_copy(update=change)), action_margin=0.0)
    assert any(said in record.getMessage() for record in caplog.records)


def test_horizon_and_range_of_rewards_may_differ(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = collected(PENDULUM, tmp_path / "a.hdf5")
    wanted = PENDULUM.model_copy(update={"horizon": 50, "reward_range": (-20.0, 0.0)})
    with caplog.at_level(logging.WARNING, "awac_tr"):
        load_transitions([path], env=env_info(wanted), action_margin=0.0)
    assert caplog.records == []


def test_datasets_are_held_to_the_range_of_rewards(tmp_path: Path) -> None:
    path = collected(PENDULUM, tmp_path / "a.hdf5")
    narrow = env_info(PENDULUM.model_copy(update={"reward_range": (-1e-3, 0.0)}))
    with pytest.raises(DatasetError, match="reward"):
        load_transitions([path], env=narrow, action_margin=0.0)


def test_a_file_is_held_to_its_cards_whole_section(tmp_path: Path) -> None:
    folder = tmp_path / "datasets"
    folder.mkdir()
    card = "name: mine\nenv: {id: Pendulum-v1, horizon: 8, rescale_actions: true}\nsource: random\nn: 2\nlicence: MIT\n"
    (folder / "mine.yaml").write_text(card)
    (path,) = ensure_datasets(["mine"])
    with open_dataset(path) as dataset:
        assert dataset.meta.env == PENDULUM
    (folder / "mine.yaml").write_text(card.replace("rescale_actions: true", "rescale_actions: false"))
    with pytest.raises(DatasetError, match="rescale_actions true, not false"):
        ensure_datasets(["mine"])


def test_exports_come_back_and_imports_can_be_described(tmp_path: Path) -> None:
    path = collected(PENDULUM, tmp_path / "a.hdf5")
    export_dataset(path, str(tmp_path / "d4rl.hdf5"), format_name="d4rl")
    import_dataset(str(tmp_path / "d4rl.hdf5"), tmp_path / "b.hdf5")
    with open_dataset(tmp_path / "b.hdf5") as back, open_dataset(path) as first:
        assert back.meta.env == PENDULUM
        assert back.content_hash == first.content_hash
    bare = tmp_path / "bare.hdf5"
    _strip(tmp_path / "d4rl.hdf5", bare)
    import_dataset(str(bare), tmp_path / "c.hdf5", settings=ImportSettings(env_id=PENDULUM))
    with open_dataset(tmp_path / "c.hdf5") as named:
        assert named.meta.env == PENDULUM
    load_transitions([tmp_path / "c.hdf5"], env=env_info(PENDULUM), action_margin=0.0)


def _strip(source: Path, out: Path) -> None:
    """The arrays alone, as another recorder would have written them."""
    import h5py

    with h5py.File(source) as old, h5py.File(out, "w") as new:
        for name in ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts"):
            new[name] = old[name][...]
