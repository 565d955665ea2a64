"""``awac-tr train`` as it is typed: end to end, stopped by signals, resumed, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.collectors.episodes import rollouts
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.policies.controllers import RandomController
from awac_tr.recipes.schema import EnvSection

RECIPE = """
name: tiny
env: {{id: door-binary-v0, horizon: 20}}
data: {{datasets: ["{dataset}"]}}
policy: {{hidden_sizes: [8]}}
qvalue: {{hidden_sizes: [8]}}
offline: {{updates: 10, batch_size: 16}}
online: {{steps: 20, batch_size: 16, steps_per_round: 10}}
eval: {{every: 0, episodes: 1}}
log: {{every: 5, csv: false}}
"""


def _random() -> RandomController:
    return RandomController(-np.ones(28, np.float32), np.ones(28, np.float32))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    dataset = tmp_path / "play.hdf5"
    bounds = {"action_low": [-1.0] * 28, "action_high": [1.0] * 28}
    about = {"env_id": "door-binary-v0", "env_kwargs": {}, "horizon": 20, "source": "random", "policy": "", "seed": 0}
    meta = DatasetMeta(**about, **bounds, licence="CC0-1.0", description="", parents=(), extra={})
    with DatasetWriter(dataset, meta) as writer:
        for episode in rollouts(EnvSection(id="door-binary-v0", horizon=20), _random, range(2)):
            writer.append(episode)
        writer.finish()
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE.format(dataset=dataset), encoding="utf-8")
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def test_train_and_resume(recipe: Path) -> None:
    result = invoke(recipe, "seed=3")
    assert result.exit_code == 0, result.output
    run = Path(result.stdout.strip())
    assert run.parent == Path("runs")
    assert run.name.startswith("tiny-")
    assert run.name.endswith("-3")
    assert "evaluated: success_any" in result.stderr
    longer = invoke("--resume", run, "online.steps=30", "--quiet")
    assert longer.exit_code == 0, longer.output
    assert "evaluated" not in longer.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert (rows[-1]["update"], rows[-1]["env_step"]) == (40, 30)


def test_mistakes_exit_with_2_and_write_nothing(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    for arguments, text in (
        ((recipe, "algorithm.lambda=1"), "temperature"),
        ((recipe, "seed=often"), "seed"),
        ((recipe, "env.id=dor-binary-v0"), "door-binary-v0"),
        ((recipe, "env.id=pen-binary-v0"), "45"),
        ((recipe, "data.datasets=[nowhere.hdf5]"), "nowhere.hdf5"),
        ((recipe, "policy.init_from=clone"), "clone"),
        ((recipe, "policy.init_from=nothing.pt"), "nothing.pt"),
        ((recipe, "--run", tmp_path / "there"), "exists"),
        (("no-such-recipe.yaml",), "no-such-recipe"),
        ((), "RECIPE"),
        (("--resume", tmp_path / "there"), "no run folder"),
        (("--resume", tmp_path / "there", "--run", "other"), "--run"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert text in result.stderr, (arguments, result.stderr)
        assert "Traceback" not in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_environment_is_said_before_datasets_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("quickstart", "env.id=dor-binary-v0")
    assert result.exit_code == 2
    assert "door-binary-v0" in result.output
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_run_goes_on(recipe: Path, tmp_path: Path, signum: int, code: int) -> None:
    run = tmp_path / "run"
    overrides = ["offline.updates=1000000", "compile=false"]
    command = [sys.executable, "-m", "awac_tr", "train", str(recipe), *overrides, "--run", str(run)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    try:
        _wait_for_rows(run, process)
        process.send_signal(signum)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, stderr
    assert f"awac-tr train --resume {run}" in stderr
    assert stdout == ""
    stopped = json.loads((run / "summary.json").read_text())
    assert stopped["finished"] is False
    result = invoke("--resume", run, "log.every=7", "offline.updates=5")
    assert result.exit_code == 2
    assert "offline.updates" in result.stderr


def _wait_for_rows(run: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (run / "metrics.jsonl").is_file() and len((run / "metrics.jsonl").read_text().splitlines()) >= 3:
            return
        time.sleep(0.05)
    raise AssertionError(
        f"no rows appeared: {process.communicate(timeout=10) if process.poll() is not None else 'too slow'}"
    )
