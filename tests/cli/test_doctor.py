"""``awac-tr doctor``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from awac_tr import doctor
from awac_tr.cli.main import main
from awac_tr.doctor import Check


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments])


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """What the doctor finds."""
    found = [Check("torch", "ok", "2.0"), Check("GL", "warning", "no films: [egl] missing", "install libegl1")]
    monkeypatch.setattr(doctor, "examine", lambda: found)
    return found


def test_report_and_remedies(checks: list[Check]) -> None:
    result = run()
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["torch", "ok", "2.0"],
        ["GL", "warning", "no", "films:", "[egl]", "missing"],
        [],
        ["GL:", "to", "fix:", "install", "libegl1"],
        [],
        ["awac-tr", "can", "be", "used", "here."],
    ]


def test_something_broken_is_code_1(checks: list[Check]) -> None:
    checks.append(Check("torchrl", "broken", "does not import", "pip install torchrl"))
    result = run()
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "awac-tr cannot be used here: torchrl."


def test_json(checks: list[Check]) -> None:
    result = run("--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["usable"] is True
    assert found["checks"][0] == {"name": "torch", "level": "ok", "finding": "2.0", "remedy": ""}
    checks.append(Check("torchrl", "broken", "does not import", "pip install torchrl"))
    broken = run("--json")
    assert (broken.exit_code, json.loads(broken.stdout)["usable"]) == (1, False)


def test_for_real() -> None:
    result = run("--json")
    assert {"torch", "mujoco", "GL", "runs"} <= {check["name"] for check in json.loads(result.stdout)["checks"]}
