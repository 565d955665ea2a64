"""What every registered algorithm can do: learn offline and online, resume to the bit, evaluate, be measured."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import stop_after, weights

from awac_tr.algorithms.config import AlgorithmConfig
from awac_tr.algorithms.registry import ALGORITHMS, config_class
from awac_tr.bench.run import Options, bench
from awac_tr.evaluation.evaluate import evaluate
from awac_tr.recipes.loader import load_recipe
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

PACKAGE = Path(__file__).parents[2] / "awac_tr"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_learns_stops_goes_on_to_the_bit_and_is_evaluated(
    name: str, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(small(name), run_dir=tmp_path / "whole", quiet=True)
    stop_after(monkeypatch, updates=23 if config_class(name)().needs().online else 11)  # type: ignore[call-arg]
    with pytest.raises(TrainingInterrupted):
        train(small(name), run_dir=tmp_path / "stopped", quiet=True)
    monkeypatch.undo()
    stopped = train(load_recipe(tmp_path / "stopped" / "recipe.yaml"), resume=tmp_path / "stopped", quiet=True)
    one, other = weights(whole), weights(stopped)
    assert one
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    kept = [[{k: v for k, v in row.items() if k != "wall"} for row in read_rows(run)] for run in (whole, stopped)]
    assert kept[0] == kept[1]
    assert all(value == value for row in kept[0] for value in row.values())  # noqa: PLR0124  (no NaN)
    report = evaluate(whole / "checkpoints" / "last.pt", episodes=2)
    assert report


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_is_measured_with_its_own_operations(name: str, small: Any) -> None:
    report = bench(small(name).recipe, Options(updates=1, steps=20, blocks=2, compiled=False))
    assert report.task["algorithm"] == name
    assert sum(report.flops.values()) > 0


def test_each_counts_other_operations(small: Any) -> None:
    options = Options(updates=1, steps=20, blocks=2, compiled=False)
    counts = {}
    for name in ALGORITHMS:  # a critic of the policy's size would count as the policy does
        critics = ["qvalue.hidden_sizes=[24]"] if "qvalue" in config_class(name).reads else []
        counts[name] = sum(bench(small(name, *critics).recipe, options).flops.values())
    # what is measured is the first phase, which of DAPG is cloning
    assert counts.pop("dapg") == counts["bc"]
    # BRAC's model takes what SAC + BC takes for its second batch, and its likelihood what a tuned alpha takes
    assert counts.pop("brac") == counts["sac_bc"]
    assert len(set(counts.values())) == len(counts)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_preset_is_a_sound_recipe(name: str, small: Any) -> None:
    config = config_class(name)
    for preset in config.presets:
        own = config.presets[preset].get("offline", {}).get("updates", 20)  # else the small recipe's would win
        loaded = small(name, f"algorithm.preset={preset}", f"offline.updates={own}")
        assert isinstance(loaded.recipe.algorithm, AlgorithmConfig)
        assert loaded.recipe.algorithm.preset == preset


@pytest.mark.parametrize("name", ALGORITHMS)
def test_its_name_stands_in_no_code_outside_its_folder_and_the_registry(name: str) -> None:
    allowed = {"algorithms/registry.py", "recipes/algorithm.py"}  # the latter has the default algorithm
    named = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if (PACKAGE / "algorithms" / name) not in path.parents
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value == name
    }
    # bc is also the source of a dataset, which is another thing: the clone that made it
    clones = {path for path in named if path.split("/")[0] in ("collect", "recipes", "cli", "training", "data")}
    assert named - allowed - (clones if name == "bc" else set()) == set()
