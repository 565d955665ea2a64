"""A run that is killed, at whatever moment and however often, ends as one that was not: rows, weights and buffer."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from killing import KILLS, forked, kill_at, killed_after, outcome

from awac_tr.policies.checkpoint import read_checkpoint
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

Tiny = Callable[..., LoadedRecipe]
OFTEN = ("checkpoint.every=4", "offline.updates=60")
SETTINGS = [OFTEN, (*OFTEN, "hindsight.kept=1.0", "buffer.storage=memmap", "buffer.capacity=120")]
AHEAD = (*OFTEN, "collect.async=true", "eval.background=true")


def go_on(first: LoadedRecipe, run: Path) -> None:
    """What a user types: the recipe until the run has one of its own, ``--resume`` from then on."""
    if (run / "recipe.yaml").is_file():
        train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    else:
        train(first, run_dir=run, quiet=True)


def result(run: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Rows without the clock, and all tensors of the learner and of what was collected."""
    content = read_checkpoint(run / "checkpoints" / "last.pt")
    assert json.loads((run / "summary.json").read_text())["finished"]
    parts = [torch.load(run / "checkpoints" / "online" / name, weights_only=True) for name in content["online_parts"]]
    online = {f"online/{name}": torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}
    best = read_checkpoint(run / "checkpoints" / "best.pt")
    weights = {f"best/{name}": value for name, value in best["learner"]["loss"].items()}
    rows = [{name: value for name, value in row.items() if name != "wall"} for row in read_rows(run)]
    return rows, {**weights, **online, **_flat(content["learner"])}


def _flat(value: Any, name: str = "learner") -> dict[str, torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return {name: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {key: tensor for part, one in pairs for key, tensor in _flat(one, f"{name}/{part}").items()}


def require_same(run: Path, whole: tuple[list[dict[str, Any]], dict[str, torch.Tensor]]) -> None:
    rows, tensors = result(run)
    assert rows == whole[0]
    assert tensors.keys() == whole[1].keys()
    assert [name for name, value in tensors.items() if not torch.equal(value, whole[1][name])] == []


def phase_of(run: Path) -> str:
    """Where the rows of a killed run ended."""
    rows = read_rows(run) if (run / "metrics.jsonl").is_file() else []
    return rows[-1]["phase"] if rows else "beginning"


def kill_and_resume(tiny: Tiny, settings: tuple[str, ...], folder: Path, kills: int) -> Counter[str]:
    """Until so many kills have hit; how many in which phase."""
    recipe, chance, hits = tiny(*settings), random.Random(str(settings)), Counter[str]()
    started = time.perf_counter()
    assert outcome(forked(partial(go_on, recipe, folder / "whole"))) == 0
    seconds, whole = time.perf_counter() - started, result(folder / "whole")
    run, attempts = folder / "run", 0
    while hits.total() < kills or run.exists():
        attempts += 1
        assert attempts < 20 * kills + 20, "the kills come too late"
        pid = forked(partial(go_on, recipe, run))
        patience = chance.uniform(0, seconds) if hits.total() < kills else 100 * seconds
        code = killed_after(pid, patience)
        assert code in (0, -signal.SIGKILL)
        if code:
            hits[phase_of(run)] += 1
        else:
            require_same(run, whole)
            shutil.rmtree(run)
    return hits


@pytest.mark.parametrize("settings", SETTINGS)
def test_killed_at_random_moments_and_resumed_it_is_the_same_run(
    tiny: Tiny, tmp_path: Path, settings: tuple[str, ...], record_property: Callable[[str, Any], None]
) -> None:
    hits = kill_and_resume(tiny, settings, tmp_path, 2 * KILLS)
    record_property("kills", dict(hits))
    print(f"kills survived with {settings}: {dict(hits)}")  # noqa: T201  (for nox -s faults)


@pytest.mark.slow
def test_the_same_with_processes_that_collect_and_evaluate_beside_it(tiny: Tiny, tmp_path: Path) -> None:
    hits = kill_and_resume(tiny, AHEAD, tmp_path, max(2, KILLS // 3))
    print(f"kills survived with {AHEAD}: {dict(hits)}")  # noqa: T201


def _killed_at(step: int, recipe: LoadedRecipe, run: Path) -> None:
    kill_at(step)
    go_on(recipe, run)


def test_killed_at_every_change_of_a_file_and_resumed_it_is_the_same_run(tiny: Tiny, tmp_path: Path) -> None:
    """Not at moments, but at each of the calls that change files, of which a sample unless more are asked for."""
    recipe, run = tiny("eval.every=0", "log.csv=false"), tmp_path / "run"
    go_on(recipe, tmp_path / "whole")
    whole, step, kills, stride = result(tmp_path / "whole"), 1, 0, max(1, 60 // KILLS)
    while (code := outcome(forked(partial(_killed_at, step, recipe, run)))) != 0:
        assert code == -signal.SIGKILL
        assert outcome(forked(partial(go_on, recipe, run))) == 0
        require_same(run, whole)
        shutil.rmtree(run)
        step, kills = step + stride, kills + 1
    print(f"kills survived at calls that change files: {kills}")  # noqa: T201
    assert kills >= 40 // stride
