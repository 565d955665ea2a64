"""No false alarm on sound data of any convention, and what is only seen with more than one file or an environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.collectors.episodes import rollouts
from awac_tr.data.convert.importer import ImportSettings, import_dataset
from awac_tr.data.format.findings import Finding
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.format.spec import ARRAYS
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.fix import fix
from awac_tr.data.validation.validate import validate, validate_files
from awac_tr.envs import ENV_IDS
from awac_tr.envs.env_info import env_info
from awac_tr.envs.episode import Episode, episode_seeds
from awac_tr.errors import EnvError
from awac_tr.policies.controllers import OUController, RandomController
from awac_tr.recipes.schema import EnvSection

Arrays = dict[str, Any]


def loud(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings if finding.severity != "note"}


def codes(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings}


def flat(path: Path, source: Path, change: Callable[[Arrays], Arrays] = lambda arrays: arrays) -> Path:
    """The six arrays of a file as others store them: no attributes, nothing else."""
    with open_dataset(source) as dataset:
        arrays = change(dataset.arrays(ARRAYS))
    with h5py.File(path, "w") as file:
        for name, rows in arrays.items():
            file[name] = rows
    return path


def spoil_meta(path: Path, source: Path, **changed: Any) -> Path:
    """The same episodes under another description."""
    with open_dataset(source) as dataset, DatasetWriter(path, replace(dataset.meta, **changed)) as writer:
        for index in range(dataset.n_episodes):
            writer.append(dataset.episode(index))
        writer.finish()
    return path


@pytest.mark.parametrize("make", [RandomController, OUController])
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_noise_in_our_environments_is_sound(tmp_path: Path, env_id: str, make: Any) -> None:
    low = np.full(env_info(env_id).action_size, -1, np.float32)
    meta = DatasetMeta(env_id=env_id, source="random", action_low=low, action_high=-low, horizon=50)
    with DatasetWriter(tmp_path / "a.hdf5", meta) as writer:
        for episode in rollouts(EnvSection(id=env_id, horizon=50), partial(make, low, -low), episode_seeds(7, 8)):
            writer.append(episode)
        writer.finish()
    assert loud(validate(tmp_path / "a.hdf5")) == set()


def test_human_demonstrations_are_sound(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "demos" / "door-v0_demos.pickle"
    import_dataset(source, tmp_path / "a.hdf5", settings=ImportSettings("door-binary-v0"))
    findings = validate(tmp_path / "a.hdf5")
    assert codes(findings) == {"length"}
    assert loud(findings) == set()


def without_last_rows(arrays: Arrays) -> Arrays:
    """The last transition of every episode is not there, the one before is marked."""
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"])
    kept = np.setdiff1d(np.arange(len(arrays["rewards"])), ends)
    arrays = {name: rows.copy() for name, rows in arrays.items()}
    arrays["timeouts"][ends - 1] = True
    return {name: rows[kept] for name, rows in arrays.items()}


CONVENTIONS: dict[str, Callable[[Arrays], Arrays]] = {
    "as it is": lambda arrays: arrays,
    "doubles, flags as bytes": lambda a: {
        name: rows.astype(np.uint8 if rows.dtype == bool else np.float64) for name, rows in a.items()
    },
    "the last row of every episode is missing": without_last_rows,
    "the recording stops in mid-episode": lambda a: {name: rows[:-7] for name, rows in a.items()},
}


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(("name", "env_id"), [("door", None), ("hopper", "Hopper-v5"), ("cheetah", "HalfCheetah-v5")])
def test_files_of_others_are_sound(
    sound: Mapping[str, Path], tmp_path: Path, name: str, env_id: str | None, convention: str
) -> None:
    path = flat(tmp_path / "theirs.hdf5", sound[name], CONVENTIONS[convention])
    findings = validate(path, env=env_id)
    assert loud(findings) == set()
    assert "foreign" in codes(findings)


@pytest.mark.parametrize("name", ["door", "cheetah"])
def test_a_recording_that_goes_on_over_its_cuts_is_sound(sound: Mapping[str, Path], tmp_path: Path, name: str) -> None:
    """maze2d and robot logs: cut into pieces, never reset."""

    def cut(arrays: Arrays) -> Arrays:
        timeouts = arrays["timeouts"].copy()
        timeouts[14::30] = True
        return arrays | {"timeouts": timeouts}

    findings = validate(flat(tmp_path / "theirs.hdf5", sound[name], cut))
    assert loud(findings) == set()
    assert "continues" in codes(findings)


def test_a_file_of_others_is_held_against_the_environment_named(sound: Mapping[str, Path], tmp_path: Path) -> None:
    def swap(arrays: Arrays) -> Arrays:
        return arrays | {"terminals": arrays["timeouts"], "timeouts": arrays["terminals"]}

    path = flat(tmp_path / "theirs.hdf5", sound["hopper"], swap)
    assert "missed-terminal" not in codes(validate(path))
    assert loud(validate(path, env="Hopper-v5")) == {"missed-terminal"}
    assert loud(validate(path, env="HalfCheetah-v5")) >= {"size"}
    report = fix(path, tmp_path / "ours.hdf5", env="Hopper-v5")
    assert report.left == []
    with open_dataset(tmp_path / "ours.hdf5") as dataset:
        assert dataset.ours
        assert dataset.meta.env_id == "Hopper-v5"
        assert dataset.arrays(["terminals"])["terminals"].sum() == dataset.n_episodes
    with pytest.raises(EnvError, match="Hoper"):
        validate(path, env="Hoper-v5")


def test_actions_of_unknown_bounds_are_not_clipped(sound: Mapping[str, Path], tmp_path: Path) -> None:
    path = flat(tmp_path / "theirs.hdf5", sound["pendulum"])
    assert [f.fixable for f in validate(path) if f.code == "action-bounds"] == [False]
    assert loud(validate(path, env="Pendulum-v1")) == set()


def test_terminals_where_time_runs_out_in_an_unknown_environment(sound: Mapping[str, Path], tmp_path: Path) -> None:
    def swap(arrays: Arrays) -> Arrays:
        return arrays | {"terminals": arrays["timeouts"], "timeouts": arrays["terminals"]}

    assert loud(validate(flat(tmp_path / "theirs.hdf5", sound["cheetah"], swap))) == {"terminal-at-horizon"}
    assert loud(validate(flat(tmp_path / "falls.hdf5", sound["hopper"]))) == set()


def test_falls_stored_as_cuts_where_only_the_lengths_tell(sound: Mapping[str, Path], tmp_path: Path) -> None:
    kwargs = {"exclude_current_positions_from_observation": False}
    rules = env_info(EnvSection(id="Hopper-v5", kwargs=kwargs))
    assert (rules.terminates, rules.termination) == (True, None)
    low, high = np.asarray(rules.action_bounds, np.float32)
    make = partial(RandomController, low, high)
    meta = DatasetMeta(
        env_id="Hopper-v5",
        source="random",
        action_low=low,
        action_high=high,
        env_kwargs=kwargs,
        horizon=1000,
    )
    episodes = list(rollouts(EnvSection(id="Hopper-v5", kwargs=kwargs), make, episode_seeds(3, 9)))
    for name, swap in (("sound", False), ("spoilt", True)):
        with DatasetWriter(tmp_path / f"{name}.hdf5", meta) as writer:
            for one in episodes:
                cut: Episode = replace(one, terminals=one.timeouts, timeouts=one.terminals) if swap else one
                writer.append(cut)
            writer.finish()
    assert loud(validate(tmp_path / "sound.hdf5")) == set()
    assert loud(validate(tmp_path / "spoilt.hdf5")) == {"no-terminals"}


def test_reset_states_after_terminal_rows_are_a_note(sound: Mapping[str, Path], tmp_path: Path) -> None:
    def leak(arrays: Arrays) -> Arrays:
        following = np.concatenate([arrays["observations"][1:], arrays["next_observations"][-1:]])
        return arrays | {"next_observations": following}

    findings = validate(flat(tmp_path / "theirs.hdf5", sound["hopper"], leak))
    assert "leak-terminal" in codes(findings)
    assert loud(findings) == set()


def test_what_a_file_says_of_itself_is_held_against_its_environment(sound: Mapping[str, Path], tmp_path: Path) -> None:
    path = spoil_meta(tmp_path / "a.hdf5", sound["door"], env_id="nowhere-v9")
    assert "unknown-env" in codes(validate(path))
    assert "horizon-env" in codes(validate(sound["door"]))
    assert "other-env" in codes(validate(path, env="door-binary-v0"))


def test_what_never_changes_is_noted(sound: Mapping[str, Path], tmp_path: Path) -> None:
    def still(arrays: Arrays) -> Arrays:
        states = {name: arrays[name].copy() for name in ("observations", "next_observations")}
        for rows in states.values():
            rows[:, 5] = 0.5
        return arrays | states | {"rewards": np.zeros_like(arrays["rewards"])}

    findings = validate(flat(tmp_path / "theirs.hdf5", sound["cheetah"], still))
    assert codes(findings) == {"foreign", "observation-constant", "reward-constant"}
    assert loud(findings) == set()


def test_copies_over_several_files(sound: Mapping[str, Path], tmp_path: Path) -> None:
    with open_dataset(sound["door"]) as dataset, DatasetWriter(tmp_path / "part.hdf5", dataset.meta) as writer:
        writer.append(dataset.episode(3))
        writer.finish()
    (_, first), (_, second) = validate_files([sound["door"], tmp_path / "part.hdf5"])
    assert "duplicate" not in codes(first)
    found = next(finding for finding in second if finding.code == "duplicate")
    assert f"episode 0 is the same as episode 3 of {sound['door']}" in found.message


def test_places_are_episode_and_step(sound: Mapping[str, Path], tmp_path: Path) -> None:
    def infinite(arrays: Arrays) -> Arrays:
        rewards = arrays["rewards"].copy()
        rewards[[5, 61, 62, 120, 121, 300]] = np.inf
        return arrays | {"rewards": rewards}

    path = flat(tmp_path / "theirs.hdf5", sound["door"], infinite)
    found = next(finding for finding in validate(path) if finding.code == "not-finite")
    assert (found.count, found.rows) == (6, (5, 61, 62, 120, 121))
    assert found.steps == ((0, 5), (1, 1), (1, 2), (2, 0), (2, 1))


def states_in_one_array(path: Path, episodes: list[Episode], cuts: list[int]) -> Path:
    """Episodes end to end, cut after some rows: the next observation is the row after, as where only T are stored."""
    joined = {name: np.concatenate([getattr(one, name) for one in episodes]) for name in ARRAYS}
    joined["next_observations"][:-1] = joined["observations"][1:]
    joined["terminals"][:] = False
    joined["timeouts"][:] = np.isin(np.arange(len(joined["rewards"])), [*cuts, len(joined["rewards"]) - 1])
    with h5py.File(path, "w") as file:
        for name, rows in joined.items():
            file[name] = rows
    return path


@pytest.mark.parametrize("policy", [0, 1])
def test_a_reset_within_an_episode_is_seen_with_two_episodes(policy: int, tmp_path: Path) -> None:
    low, high = [-1] * 3, [1] * 3
    actor = partial((RandomController, OUController)[policy], low, high)
    one, two = rollouts("Hopper-v5", actor, episode_seeds(3, 2))
    border = len(one) - 1
    found = validate(states_in_one_array(tmp_path / "joined.hdf5", [one, two], []))
    assert [finding.rows for finding in found if finding.code == "unmarked-border"] == [(border,)]
    early = validate(states_in_one_array(tmp_path / "early.hdf5", [one, two], [border - 1]))
    assert "unmarked-border" in codes(early) or "border-early" in codes(early)
    assert "unmarked-border" not in codes(validate(states_in_one_array(tmp_path / "alone.hdf5", [one], [])))


def test_a_state_that_stands_in_for_the_last_one_is_held_against_no_rule(tmp_path: Path) -> None:
    (one,) = rollouts("Hopper-v5", partial(RandomController, [-1] * 3, [1] * 3), episode_seeds(3, 1))
    assert one.terminals[-1]
    with h5py.File(tmp_path / "old.hdf5", "w") as file:
        for name in ARRAYS:
            file[name] = getattr(one, name)
        file["next_observations"][-1] = one.observations[-1]
    assert "false-terminal" not in codes(validate(tmp_path / "old.hdf5", env="Hopper-v5"))
