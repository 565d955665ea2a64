"""Every kind of trouble in the rows of a file is found, counted and placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.buffers.buffer import load_transitions
from awac_tr.data.format.findings import Finding
from awac_tr.data.storage import reader
from awac_tr.data.validation.validate import validate
from awac_tr.envs.env_info import EnvInfo, env_info
from awac_tr.errors import DatasetError


def spoil(path: Path, name: str, rows: Any, value: Any) -> None:
    with h5py.File(path, "r+") as file:
        file[name][rows] = value


def codes(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.severity, finding.code) for finding in findings if finding.code != "hash"}


CASES = [
    ("actions", (slice(3, 5), 0), np.nan, ("error", "not-finite"), "2 rows with NaN or infinite numbers, first row 3"),
    ("observations", (0, 0), np.inf, ("error", "not-finite"), "1 row with NaN"),
    ("actions", (12, 1), 1.01, ("error", "action-bounds"), "1 row outside the action bounds, first row 12"),
    ("timeouts", 12, False, ("error", "open-end"), r"the last episode \(7 rows\) has no end"),
    ("timeouts", 4, False, ("error", "gap"), "not the observation of the row after, first row 4"),
    ("next_observations", (7, 0), 9.0, ("error", "gap"), "first row 7"),
    ("timeouts", 5, True, ("error", "both-ends"), "1 row both terminal and cut, first row 5"),
    ("terminals", 5, False, ("error", "gap"), "first row 5"),
]


@pytest.mark.parametrize("block_rows", [2, 3, 100])
@pytest.mark.parametrize(("name", "rows", "value", "code", "message"), CASES)
def test_bad_rows(
    three: Path,
    monkeypatch: pytest.MonkeyPatch,
    block_rows: int,
    name: str,
    rows: Any,
    value: Any,
    code: tuple[str, str],
    message: str,
) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", block_rows)
    spoil(three, name, rows, value)
    findings = validate(three)
    assert code in codes(findings)
    found = next(finding for finding in findings if finding.code == code[1])
    assert found.where == ("next_observations" if code[1] == "gap" else name)
    with pytest.raises(DatasetError, match=message):
        load_transitions([three])


@pytest.mark.parametrize("block_rows", [2, 3, 100])
def test_a_next_state_from_after_the_reset(three: Path, monkeypatch: pytest.MonkeyPatch, block_rows: int) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", block_rows)
    with h5py.File(three, "r+") as file:
        file["next_observations"][4] = file["observations"][5]
    assert ("warning", "leak") in codes(validate(three))


@pytest.mark.parametrize(("source", "severity"), [("import", "note"), ("random", "warning")])
@pytest.mark.parametrize("block_rows", [1, 2, 3, 5, 100])
def test_rows_beyond_the_horizon(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_episode: Any,
    make_meta: Any,
    write_dataset: Any,
    block_rows: int,
    source: str,
    severity: str,
) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", block_rows)
    path = tmp_path / "a.hdf5"
    write_dataset(
        path, [make_episode(1, 3), make_episode(2, 8), make_episode(3, 4)], make_meta(horizon=4, source=source)
    )
    assert [(f.severity, f.message) for f in validate(path)] == [
        (severity, "4 rows lie beyond the horizon of their episode, first row 7; kept")
    ]


@pytest.mark.parametrize("name", ["rewards", "observations", "infos/qpos", "episodes/seeds"])
def test_any_changed_byte_breaks_the_hash(three: Path, name: str) -> None:
    with h5py.File(three, "r+") as file:
        file[name][0] = file[name][0] + 1
    assert [f.where for f in validate(three) if f.code == "hash"] == [name]


def test_changed_rows_are_not_loaded(three: Path) -> None:
    spoil(three, "rewards", 3, -0.5)
    with pytest.raises(DatasetError, match="rewards: its bytes do not match the hash"):
        load_transitions([three])


def test_a_changed_hash_of_an_array_does_not_hide_the_change(three: Path) -> None:
    import hashlib

    with h5py.File(three, "r+") as file:
        file["rewards"][3] = -0.5
        file["rewards"].attrs["sha256"] = hashlib.sha256(file["rewards"][:].tobytes()).hexdigest()
    assert [f.where for f in validate(three)] == ["content_hash"]
    with pytest.raises(DatasetError, match="content_hash: does not match"):
        load_transitions([three])


def test_counts_are_checked(three: Path) -> None:
    with h5py.File(three, "r+") as file:
        file.attrs["n_episodes"] = 4
    assert [(f.code, f.message) for f in validate(three)] == [("count", "says 4, the file has 3")]


def facts(**changed: Any) -> EnvInfo:
    door = env_info("door-binary-v0")
    plain = {"id": "here-v0", "observation_size": 3, "action_size": 2, "reward_rule": None, "goal_steps": None}
    return replace(door, **plain | changed)


def test_sizes_of_another_environment(three: Path) -> None:
    door = env_info("door-binary-v0")
    with pytest.raises(DatasetError) as caught:
        load_transitions([three], env=door)
    assert "observations: rows of 3 numbers, door-binary-v0 has 39" in str(caught.value)
    assert "actions: rows of 2 numbers, door-binary-v0 has 28" in str(caught.value)


def test_rewards_outside_the_range_of_the_environment(three: Path) -> None:
    with pytest.raises(DatasetError, match="rewards: 13 rows outside the range"):
        load_transitions([three], env=facts(reward_range=(0.0, 1.0)))
    load_transitions([three], env=facts(reward_range=(-1.0, 1.0)))


def test_rewards_against_the_rule_are_said_and_loaded(three: Path, caplog: pytest.LogCaptureFixture) -> None:
    rule: Callable[[Any], Any] = lambda states: np.where(np.arange(len(states)) == 2, 0, -1)  # noqa: E731
    load_transitions([three], env=facts(reward_rule=rule))
    assert "1 row unlike the environment's own rule on the next observation, first row 2" in caplog.text


def test_the_environment_a_file_names_is_asked(
    tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any
) -> None:
    path, names = tmp_path / "a.hdf5", {"action_low": [-1] * 28, "action_high": [1] * 28}
    write_dataset(path, [make_episode(sizes=(39, 28))], make_meta(env_id="door-binary-v0", **names))
    assert codes(validate(path)) <= {("warning", "reward-rule")}
    write_dataset(tmp_path / "b.hdf5", [make_episode(sizes=(39, 28))], make_meta(env_id="pen-binary-v0", **names))
    assert ("error", "size") in codes(validate(tmp_path / "b.hdf5"))
    write_dataset(tmp_path / "c.hdf5", [make_episode()], make_meta(env_id="nowhere-v3"))
    assert codes(validate(tmp_path / "c.hdf5")) == {("note", "unknown-env")}


def test_use_in_another_environment_is_said(
    tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.hdf5"
    write_dataset(path, [make_episode()], make_meta(env_id="there-v0"))
    load_transitions([path], env=facts())
    assert "made in there-v0, used for here-v0" in caplog.text


def test_a_module_that_a_file_names_is_not_imported(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with h5py.File(three, "r+") as file:
        file.attrs["env_id"] = "stranger:door-binary-v0"
    found = [finding for finding in validate(three) if finding.code == "unknown-env"]
    assert [finding.severity for finding in found] == ["note"]
    with pytest.raises(SystemExit, match="imported"):  # asked for by name, it is: the test would notice an import
        validate(three, env="stranger:door-binary-v0")
