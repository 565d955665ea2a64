"""What is done before help appears and before the first update is made: by structure, since times depend on the day."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode

NOT_FOR_HELP = {"numpy", "pydantic", "rich", "yaml", "importlib.metadata", "logging.config"}
# not among them: tensorboard, which torchrl.record, and so the collector of the first evaluation, brings along
NOT_BEFORE_AN_UPDATE = {"matplotlib", "wandb", "minari", "torch._inductor.compile_fx"}

TO_THE_FIRST_UPDATE = """
import json, os, sys
from collections import Counter

from awac_tr.cli.main import main
from awac_tr.training.loop import Loop

counts = Counter()


def counted(owner, name, label):
    function = getattr(owner, name)

    def wrapper(*args, **kwargs):
        counts[label] += 1
        return function(*args, **kwargs)

    setattr(owner, name, wrapper)


def report(*_):
    print(json.dumps({"modules": sorted(sys.modules), "counts": counts}), flush=True)
    os._exit(0)


from awac_tr.data.storage.reader import Dataset
from awac_tr.envs.adroit import DoorBinaryEnv

counted(DoorBinaryEnv, "__init__", "environments")
counted(Dataset, "blocks", "passes")
Loop._update = report
main(sys.argv[1:])
"""

RECIPE = """
name: tiny
env: {{id: door-binary-v0, horizon: 3}}
data: {{datasets: ["{dataset}"]}}
policy: {{hidden_sizes: [8]}}
qvalue: {{hidden_sizes: [8]}}
offline: {{updates: 10, batch_size: 4}}
eval: {{episodes: 2}}
"""


@pytest.fixture
def first_update(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs ``awac-tr train`` with overrides until it is about to update: its modules, and how often what was done."""
    zeros, rows = np.zeros((3, 39), np.float32), np.zeros(3, np.float32)
    ends = np.arange(3) == 2
    meta = DatasetMeta("door-binary-v0", "random", [-1.0] * 28, [1.0] * 28, horizon=3, licence="CC0-1.0")
    with DatasetWriter(tmp_path / "still.hdf5", meta) as writer:
        actions = np.zeros((3, 28), np.float32)
        writer.append(Episode(zeros, actions, rows - 1, zeros, np.zeros(3, np.bool_), ends, {}, 0))
        writer.finish()
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE.format(dataset=tmp_path / "still.hdf5"), encoding="utf-8")

    def run(*overrides: str) -> dict[str, Any]:
        command = [sys.executable, "-c", TO_THE_FIRST_UPDATE, "train", str(recipe), *overrides]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def test_help_imports_next_to_nothing() -> None:
    code = "import sys; from awac_tr.cli.main import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert NOT_FOR_HELP & set(done.stdout.splitlines()[-1].split()) == set()


def test_what_a_run_needs_only_later_is_not_imported_before_its_first_update(
    first_update: Callable[..., dict[str, Any]],
) -> None:
    found = first_update()
    assert NOT_BEFORE_AN_UPDATE & set(found["modules"]) == set()
    # once to see that it can be made before anything is written, once for evaluations; each file is read once
    assert found["counts"] == {"environments": 2, "passes": 1}


def test_what_is_asked_for_is_imported(first_update: Callable[..., dict[str, Any]]) -> None:
    assert "tensorboard" in first_update("log.tensorboard=true")["modules"]
