"""A real bench of a tiny recipe: its layout, and that its numbers fit together."""

from __future__ import annotations

import io
import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console

from awac_tr.algorithms.peer_sizes import PeerSizes
from awac_tr.bench import Options, Report, bench
from awac_tr.bench.tables import print_report
from awac_tr.errors import AwacError
from awac_tr.recipes.loader import load_recipe

TINY = ["policy.hidden_sizes=[16]", "qvalue.hidden_sizes=[16]", "offline.batch_size=32", "buffer.capacity=30000"]
OPTIONS = Options(updates=1, steps=5, blocks=5, compiled=False)


class Layout(BaseModel):
    """What a program that reads ``awac-tr bench --json`` may count on; nothing else is there."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Rates(Layout):
    median: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    busy: float
    samples: list[float] = Field(min_length=5)


class Flops(Layout):
    update: int
    parts: dict[str, int]


class Data(Layout):
    source: Literal["files", "noise"]
    transitions: int
    files: list[str]
    missing: list[str]
    load_seconds: float | None


class Limit(Layout):
    precision: Literal["fp32", "bf16"]
    shape: list[int] = Field(min_length=3, max_length=3)
    unit: str
    gflops: Rates


class Update(Layout):
    precision: Literal["fp32", "bf16"]
    compile: bool
    own: bool
    updates_per_s: Rates
    start_seconds: float
    gflops: float
    share_of_limit: float = Field(gt=0)


class Threads(Layout):
    threads: int
    setting: str
    updates_per_s: Rates


class Steps(Layout):
    bare_per_s: Rates
    collector_per_s: Rates


class Round(Layout):
    setting: str
    steps: int
    updates: int
    seconds: dict[Literal["steps", "buffer", "updates"], float]
    shares: dict[Literal["steps", "buffer", "updates"], float]


class Memory(Layout):
    resident_bytes: dict[Literal["libraries", "data", "learners"], int]
    peak_bytes: int
    gpu_peak_bytes: int | None
    buffer_row_bytes: int
    buffer_capacity: int
    full_buffer_bytes: int


class Against(Layout):
    name: str
    version: str
    updates_per_s: Rates
    update_only_per_s: Rates
    times_faster: dict[str, float]


class Advice(Layout):
    precision: Literal["fp32", "bf16"]
    compile: bool
    threads: int | None
    overrides: list[str]
    reasons: list[str]
    update_seconds: float
    own_update_seconds: float | None


class Whole(Layout):
    format: Literal["awac-tr-bench"]
    version: Literal[1]
    recipe: str
    task: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, Any]
    device: str
    threads: int
    flops: Flops
    data: Data
    limits: list[Limit] = Field(min_length=1)
    updates: list[Update] = Field(min_length=1)
    by_threads: list[Threads]
    steps: Steps
    round: Round | None
    memory: Memory
    against: Against | None
    advice: Advice
    notes: list[str]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    with pytest.MonkeyPatch.context() as patch:  # made before the test has an empty folder of its own
        patch.setenv("AWAC_TR_DATA", str(tmp_path_factory.mktemp("datasets")))
        return bench(load_recipe("quickstart", [*TINY, "device=cpu"]).recipe, OPTIONS)


def test_the_layout_of_the_json(report: Report) -> None:
    found = Whole.model_validate_json(json.dumps(report.to_json()))
    assert found.recipe == "quickstart"
    assert found.task["batch_size"] == 32
    assert found.flops.update == sum(found.flops.parts.values())


def test_rates_shares_and_operations_fit_together(report: Report) -> None:
    for variant in report.variants:
        flops = sum(report.flops.values())
        assert variant.gflops == pytest.approx(variant.rate.median * flops / 1e9)
        limit = next(limit for limit in report.limits if limit.precision == variant.setting.precision)
        pairs = zip(variant.rate.samples, limit.gflops.samples, strict=True)
        shares = sorted(rate * flops / 1e9 / gflops for rate, gflops in pairs)
        assert variant.share == pytest.approx(shares[2])


def test_an_online_round_is_as_the_recipe_says(report: Report) -> None:
    assert report.round is not None
    assert report.round.updates == max(1, round(report.round.steps * 0.2))
    assert sum(report.round.shares().values()) == pytest.approx(1)


def test_memory_adds_up(report: Report) -> None:
    row = 4 * (39 + 28 + 39 + 1) + 3 + 8  # the last: where the row is, which TorchRL keeps with it
    assert report.memory.row == row
    assert report.memory.full_buffer == 30_000 * row
    stages = report.memory.stages
    assert 0 < stages["libraries"] <= stages["data"] <= report.memory.peak


def test_missing_datasets_and_what_was_left_out_are_said(report: Report) -> None:
    assert report.data["source"] == "noise"
    assert report.data["missing"] == ["quickstart-demos", "quickstart-bc"]
    assert report.data["transitions"] == 22_000
    assert "measured with 22,000 rows of noise: not here are quickstart-demos, quickstart-bc" in report.notes
    assert "compiled learners were left out: --quick measures eagerly only" in report.notes


def test_torch_s_threads_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    recipe = load_recipe("quickstart", [*TINY, f"threads={before + 1}", "online.steps=0"]).recipe
    found = bench(recipe, OPTIONS)
    assert found.threads == before + 1
    assert torch.get_num_threads() == before
    assert found.round is None
    assert any("no online phase" in note for note in found.notes)


def test_it_reads_for_people(report: Report) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    print_report(report, console)
    text = console.export_text()
    assert "What to choose" in text
    assert " ".join(report.advice.overrides) in text
    assert all(f"Note: {note}." in text for note in report.notes)
    assert "fp32 eager (recipe)" in text


def test_datasets_that_are_there_are_loaded(short_dataset: Path) -> None:
    recipe = load_recipe("quickstart", [*TINY, f"data.datasets=[{short_dataset}]"]).recipe
    found = bench(recipe, OPTIONS)
    assert found.data["source"] == "files"
    assert found.data["files"] == [str(short_dataset)]
    assert found.data["transitions"] == 400
    assert found.data["load_seconds"] > 0


@pytest.fixture
def short_dataset(tmp_path: Path) -> Path:
    """Two episodes of the door."""
    from awac_tr.collect import collect, plan

    path = tmp_path / "short.hdf5"
    collect(plan("random", env="door-binary-v0", n=2, seed=0, out=path))
    return path


@pytest.mark.slow
def test_compiled_learners_are_measured() -> None:
    recipe = load_recipe("quickstart", [*TINY, "precision=fp32", "compile=true"]).recipe
    found = bench(recipe, Options(updates=2, steps=10, blocks=5))
    own = next(variant for variant in found.variants if variant.own)
    assert own.setting.name == "fp32 compiled"
    assert own.start_seconds > 0
    assert "The recipe's" not in " ".join(found.notes)


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    bench(load_recipe("quickstart", TINY).recipe, OPTIONS, lambda *what: told.append(what))
    assert {"loading data", "starting fp32 eager", "updates", "environment steps"} <= {what for what, _, _ in told}
    assert ("updates", 5, 5) in told


def test_a_peer_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(AwacError, match=r"d3rlpy is not installed here\nnox -s bench"):
        bench(load_recipe("quickstart", TINY).recipe, Options(against="d3rlpy"))


def test_a_method_that_the_peer_does_not_have() -> None:
    recipe = load_recipe("quickstart", ["algorithm.name=mpo"]).recipe
    with pytest.raises(AwacError, match="d3rlpy has nothing to compare mpo with"):
        bench(recipe, Options(against="d3rlpy"))


@pytest.mark.parametrize("name", ["awac", "bc", "bcq", "bear", "iql", "sac"])
def test_a_method_that_the_peer_has_is_made_at_our_sizes(name: str) -> None:
    """By a stand-in that takes down what it is asked for: d3rlpy itself cannot be installed beside us."""
    sizes_of_ours = [] if name == "bcq" else ["policy.hidden_sizes=[7]"]  # which has no policy
    recipe = load_recipe("door", sizes_of_ours, method=name).recipe
    asked: dict[str, Any] = {}

    def note(**keywords: Any) -> str:
        asked.update(keywords)
        return "made"

    encoders = SimpleNamespace(VectorEncoderFactory=lambda sizes, *_: tuple(sizes))
    kinds = {f"{kind}Config": note for kind in ("AWAC", "BC", "BCQ", "BEAR", "IQL", "SAC")}
    d3rlpy = SimpleNamespace(models=SimpleNamespace(encoders=encoders), algos=SimpleNamespace(**kinds))
    sizes = PeerSizes.of(d3rlpy, recipe, 12, torch.device("cpu"))
    module = import_module(f"awac_tr.algorithms.{name}.peer")
    assert module.config(d3rlpy, sizes, recipe.algorithm) == "made"
    assert asked["batch_size"] == 12
    network = "encoder_factory" if name == "bc" else "actor_encoder_factory"
    assert asked[network] == ((400, 300) if name == "bcq" else (7,))
    assert module.WORK
