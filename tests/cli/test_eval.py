"""``awac-tr eval``: numbers on stdout, everything else on stderr, and code 2 for what cannot be evaluated."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.envs import gl
from awac_tr.evaluation.evaluate import DEFAULT_SEED


@pytest.fixture(autouse=True)
def _environment_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(gl, "_in_use", gl._in_use)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


def test_table(door_checkpoint: Path) -> None:
    result = run(door_checkpoint, "--episodes", 4)
    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == [str(door_checkpoint)]
    assert " ".join(lines[1]).startswith(
        f"door-binary-v0, 4 episodes, mean action, seeds {DEFAULT_SEED}..{DEFAULT_SEED + 3}"
    )
    rows = {line[0]: " ".join(line[1:]) for line in lines[4:]}
    assert rows == {
        "success_any": "100.0% all equal 51.0% .. 100.0% at any step",
        "success_last": "100.0% all equal 51.0% .. 100.0% at the last step",
        "success_share": "100.0% all equal share of steps",
        "success_steps": "0.0% all equal 0.0% .. 49.0% at more than 25 steps",
        "return": "0.0 all equal undiscounted",
        "length": "6.0 all equal steps",
    }
    assert all(len(line) <= 80 for line in result.stdout.splitlines()[2:])


def test_json_has_a_row_for_each_episode(door_checkpoint: Path) -> None:
    result = run(door_checkpoint, "--episodes", 2, "--seed", 9, "--sample", "--json")
    found = json.loads(result.stdout)
    assert [row["seed"] for row in found["rows"]] == [9, 10]
    assert (found["action"], found["episodes"], found["videos"]) == ("sample", 2, [])
    assert {"mean", "low", "high", "wilson"} <= set(found["measures"]["success_any"])


def test_out_keeps_the_json(door_checkpoint: Path, tmp_path: Path) -> None:
    result = run(door_checkpoint, "--episodes", 1, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["episodes"] == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evaluation.json"]


def test_out_that_cannot_be_written(door_checkpoint: Path, tmp_path: Path) -> None:
    result = run(door_checkpoint, "--episodes", 1, "--out", "/proc/out")
    assert result.exit_code == 2
    assert "/proc/out/evaluation.json cannot be written: " in result.stderr
    assert "--out" in result.stderr
    assert "success_any" in result.stdout


def test_video(door_checkpoint: Path) -> None:
    if gl.choose_backend().backend is None:
        pytest.skip(f"nothing here can draw: {gl.choose_backend().explain()}")
    result = run(door_checkpoint, "--episodes", 1, "--video")
    assert result.exit_code == 0, result.stderr
    path = door_checkpoint.parent / "videos" / "best.mp4"
    assert result.stdout.splitlines()[-1] == f"best    seed {DEFAULT_SEED}  return 0  {path}"
    assert path.stat().st_size > 1000
    again = run(door_checkpoint, "--episodes", 1, "--video", "--json")
    assert "Replaced older films: best.mp4" in again.stderr
    assert json.loads(again.stdout)["videos"][0]["frames"] == 7


def test_without_drawing_the_numbers_come_all_the_same(door_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_in_use", None)
    monkeypatch.setattr(
        gl, "_probe_once", lambda name: gl.GLProbe(name, works=False, renderer="", problem="not here", seconds=0)
    )
    result = run(door_checkpoint, "--episodes", 2, "--video")
    assert result.exit_code == 0
    assert "success_any" in result.stdout
    assert result.stderr.count("No films") == 1
    assert "libosmesa6" in result.stderr
    assert "The numbers are complete." in result.stderr
    assert not (door_checkpoint.parent / "videos").exists()


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("exploded").touch, ())


def bad_files(folder: Path) -> dict[str, Path]:
    (folder / "text.pt").write_text("not a checkpoint", encoding="utf-8")
    (folder / "pickle.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save({"format": "awac-tr-checkpoint", "version": 1, "payload": Bomb()}, folder / "torch.pt")
    torch.save({"weights": torch.zeros(3)}, folder / "other.pt")
    return {"folder": folder, "missing": folder / "missing.pt", **{path.stem: path for path in folder.glob("*.pt")}}


@pytest.mark.parametrize("kind", ["folder", "missing", "text", "pickle", "torch", "other"])
@pytest.mark.parametrize("options", [[], ["--video"]], ids=["", "video"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, kind: str, options: list[str]) -> None:
    files = tmp_path / "files"
    files.mkdir()
    result = run(bad_files(files)[kind], "--episodes", 1, *options)
    assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.count("Error: ") == 1
    assert "Traceback" not in result.stderr
    assert not Path("exploded").exists()
    assert not (files / "videos").exists()


def test_checkpoint_of_another_task_is_refused(door_checkpoint: Path) -> None:
    result = run(door_checkpoint, "--env", "pen-binary-v0")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "door-binary-v0" in result.stderr


def test_prefixed_id_of_its_own_task_is_taken(door_checkpoint: Path) -> None:
    result = run(door_checkpoint, "--env", "awac_tr:door-binary-v0", "--episodes", 1, "--json")
    assert json.loads(result.stdout)["env_kwargs"] == {"hinge": -1.0}


def test_unknown_environment_comes_back_with_the_closest(door_checkpoint: Path) -> None:
    result = run(door_checkpoint, "--env", "dor-binary-v0")
    assert result.exit_code == 2
    assert "door-binary-v0" in result.stderr


@pytest.mark.parametrize("options", [["--episodes", "0"], ["--workers", "0"], ["--seed", "-1"]])
def test_numbers_out_of_range_are_refused(door_checkpoint: Path, options: list[str]) -> None:
    assert run(door_checkpoint, *options).exit_code == 2
