"""``awac-tr plot``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.resolved import resolved_yaml


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["plot", *map(str, arguments)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(resolved_yaml(load_recipe("door")), encoding="utf-8")
    row = {
        "event": "eval",
        "phase": "offline",
        "update": 0,
        "env_step": 0,
        "wall": 0,
        "success_any": 0.5,
        "return": -100.0,
    }
    rows = [row, {**row, "update": 5000}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return folder


def test_one_run_into_its_folder(run: Path) -> None:
    result = invoke(run)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(run / "curve.png")
    assert (run / "curve.png").stat().st_size > 10_000


def test_several_into_a_file(run: Path, tmp_path: Path) -> None:
    result = invoke(run, run, "--out", tmp_path / "both.svg", "--measure", "success_any")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "both.svg").exists()


def test_mistakes_exit_with_2(run: Path, tmp_path: Path) -> None:
    assert invoke(run, "--measure", "success_last").exit_code == 2
    assert invoke(run, "--measure", "luck").exit_code == 2
    assert invoke(tmp_path / "nowhere").exit_code == 2
    assert invoke().exit_code == 2
    assert invoke(run, "--out", tmp_path / "curve.docx").exit_code == 2
    assert not (tmp_path / "curve.docx").exists()
