"""``awac-tr data replay`` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "replay", *map(str, arguments)])


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    path = tmp_path / "datasets" / "noise.hdf5"
    line = ["collect", "--source", "random", "--n", "3", "--horizon", "12", "--quiet", "--out", str(path)]
    assert CliRunner().invoke(main, line).exit_code == 0
    return path


def test_it_agrees(noise: Path) -> None:
    result = run("noise")
    assert result.exit_code == 0, result.output
    assert "played    3 of 3 episodes, 36 steps: 3 to the last bit, 3 within 0.0001" in result.stdout
    said = (
        "verdict   noise.hdf5 belongs to door-binary-v0 as installed: 3 episodes came out as recorded, to the last bit"
    )
    assert said in result.stdout
    assert "made with mujoco" in result.stdout


def test_for_programs(noise: Path) -> None:
    result = run(noise, "--episodes", "0,2", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["agrees"], report["env_id"], report["path"]) == (True, "door-binary-v0", str(noise))
    assert [(one["index"], one["start"], one["exact"]) for one in report["episodes"]] == [
        (0, "seed", True),
        (2, "seed", True),
    ]
    assert report["totals"]["steps"] == 24
    assert report["recorded"]["mujoco"] == report["installed"]["mujoco"]


def test_it_departs(noise: Path) -> None:
    with h5py.File(noise, "r+") as file:
        file["actions"][14] = -file["actions"][14]
    result = run(noise)
    assert result.exit_code == 1
    assert "1 of 12 rows do not follow from their own recorded state (episode 1 row 2)" in result.stdout
    assert "does not belong to door-binary-v0 as installed, or was changed: 1 of 3 episodes" in result.stdout
    assert run(noise, "--episodes", "0,2").exit_code == 0
    assert run(noise, "--tolerance", "100").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nosuch",), "there is no dataset"),
        (("noise", "--episodes", "1-x"), "is no list of episodes"),
        (("noise", "--episodes", "2-1"), "names no episode"),
        (("noise", "--episodes", "3"), "has 3 episodes, none of number 3"),
        (("noise", "--env", "HalfCheetah-v5"), "observations have 39 numbers, in HalfCheetah-v5 17"),
        (("noise", "--env", "HalfCheeta-v5"), "Did you mean"),
    ],
)
def test_what_cannot_be_done(noise: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_help_ends_in_examples() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert result.stdout.split("Examples:")[1].strip().startswith("awac-tr data replay")
