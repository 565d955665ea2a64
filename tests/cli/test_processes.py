"""Runs that use other processes leave none behind, whatever way they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from awac_tr.collectors.episodes import rollouts
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.policies.noise import RandomController
from awac_tr.recipes.schema import EnvSection

RECIPE = """
name: tiny
env: {{id: door-binary-v0, horizon: 20}}
data: {{datasets: ["{dataset}"]}}
policy: {{hidden_sizes: [8]}}
qvalue: {{hidden_sizes: [8]}}
offline: {{updates: 2, batch_size: 16}}
online: {{steps: 1000000, batch_size: 16, steps_per_round: 20, updates_per_step: 0.1}}
collect: {{async: true}}
eval: {{every: 5, episodes: 4, workers: 2, background: true}}
log: {{every: 5, csv: false}}
compile: false
"""


def _random() -> RandomController:
    return RandomController(-np.ones(28, np.float32), np.ones(28, np.float32))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    dataset = tmp_path / "play.hdf5"
    meta = DatasetMeta("door-binary-v0", "random", [-1.0] * 28, [1.0] * 28, horizon=20, licence="CC0-1.0")
    with DatasetWriter(dataset, meta) as writer:
        for episode in rollouts(EnvSection(id="door-binary-v0", horizon=20), _random, range(2)):
            writer.append(episode)
        writer.finish()
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE.format(dataset=dataset), encoding="utf-8")
    return path


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():  # a pool's process belongs to the thread that started it
        found |= {int(child) for child in (task / "children").read_text().split()}
    return found.union(*(descendants(child) for child in found))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text() != ""
    except OSError:
        return False


@pytest.mark.parametrize(
    ("signum", "whole_group", "code"),
    [
        (signal.SIGINT, True, 130),
        (signal.SIGTERM, False, 143),
        (signal.SIGTERM, True, 143),
        (signal.SIGKILL, False, -9),
    ],
    ids=["Ctrl-C in a terminal", "SIGTERM", "SIGTERM to the group", "SIGKILL"],
)
def test_no_process_stays(recipe: Path, tmp_path: Path, signum: int, *, whole_group: bool, code: int) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    command = [sys.executable, "-m", "awac_tr", "train", str(recipe), "--run", str(run)]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    try:
        _wait_for_processes(run, process, log)
        started = descendants(process.pid)
        (os.killpg if whole_group else os.kill)(process.pid, signum)
        assert process.wait(timeout=60) == code, log.read_text()
    finally:
        process.kill()
    deadline = time.monotonic() + 20
    while any(runs(pid) for pid in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in started if runs(pid)] == []
    if signum != signal.SIGKILL:
        assert f"awac-tr train --resume {run}" in log.read_text()
        assert (run / "checkpoints" / "last.pt").is_file()


def _wait_for_processes(run: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until two evaluations are in, so that one collecting and two evaluating processes and a tracker are there."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        text = (run / "metrics.jsonl").read_text() if (run / "metrics.jsonl").is_file() else ""
        if text.count('"event": "eval"') >= 2 and text.count('"event": "round"') >= 2:
            assert len(descendants(process.pid)) == 4
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())
