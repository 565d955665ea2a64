"""Curves: drawn from rows of metrics alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from awac_tr.errors import AwacError
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.resolved import resolved_yaml
from awac_tr.training.curves import plot_runs

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes a run folder with invented evaluations."""

    def make(
        name: str,
        *overrides: str,
        recipe: str = "door",
        seed: int = 0,
        success: bool = True,
        every: int = 5000,
        clone: bool = True,
    ) -> Path:
        run = tmp_path / name
        run.mkdir()
        loaded = load_recipe(recipe, [f"seed={seed}", "online.steps=50000", *overrides])
        (run / "recipe.yaml").write_text(resolved_yaml(loaded), encoding="utf-8")
        rows = [_row("clone", 0, 0.1 if success else None)] if clone else []
        rows += [
            _row("offline", update, update / 100_000 + seed / 10 if success else None)
            for update in range(0, 75_001, every)
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return run

    return make


def _row(phase: str, update: int, success: float | None) -> dict[str, Any]:
    row = {"event": "eval", "phase": phase, "update": update, "env_step": max(0, update - 25_000), "wall": 0.0}
    row["return"] = -200.0 if success is None else 100 * success - 200
    return row if success is None else {**row, "success_any": success, "success_last": success / 2}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn, kept open to be looked at."""
    drawn: list[Figure] = []
    monkeypatch.setattr(plt, "close", drawn.append)
    return drawn


def texts(figure: Figure) -> set[str]:
    return {text.get_text().strip() for axis in figure.axes for text in axis.texts}


def test_one_run(make_run: MakeRun, tmp_path: Path, figures: list[Figure]) -> None:
    out = plot_runs([make_run("a")], tmp_path / "a.png")
    pixels = image.imread(out)[..., :3].reshape(-1, 3)
    assert len(pixels) > 500_000
    assert len(np.unique(pixels, axis=0)) > 50
    (figure,) = figures
    success, returns = figure.axes[:2]
    lines = {tuple(line.get_ydata()): line.get_linewidth() for line in success.lines if len(line.get_ydata()) == 16}
    bold = tuple(np.arange(0, 75_001, 5000) / 100_000)
    assert max(lines, key=lines.__getitem__) == pytest.approx(bold)
    assert len(lines) == 2
    assert texts(figure) >= {"at any step", "at the last step", "clone", "offline", "online", "return"}
    for axis in (success, returns):
        assert any(list(line.get_xdata()) == [25_000, 25_000] for line in axis.lines), "the border"
    assert any(line.get_linestyle() == "--" and line.get_ydata()[0] == pytest.approx(0.1) for line in success.lines), (
        "the clone"
    )


def test_several_seeds_become_mean_and_band(make_run: MakeRun, tmp_path: Path, figures: list[Figure]) -> None:
    runs = [make_run("a", seed=0), make_run("b", seed=2), make_run("c", seed=1, recipe="door-authors")]
    plot_runs(runs, tmp_path / "several.png")
    (figure,) = figures
    success = figure.axes[0]
    drawn = [tuple(line.get_ydata()) for line in success.lines if len(line.get_ydata()) == 16]
    expected = np.arange(0, 75_001, 5000) / 100_000 + 0.1
    assert len(drawn) == 2
    assert drawn[0] == pytest.approx(expected)
    band = success.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.0, 0.95))
    assert texts(figure) >= {"door (2 runs)", "door-authors"}


def test_recipes_of_one_name_that_differ_are_not_averaged(
    make_run: MakeRun, tmp_path: Path, figures: list[Figure]
) -> None:
    plot_runs([make_run("a"), make_run("b", "algorithm.temperature=0.1", seed=1)], tmp_path / "out.png")
    assert texts(figures[0]) >= {"a", "b"}
    assert not figures[0].axes[0].collections


def test_runs_evaluated_at_other_times_meet_where_both_were(
    make_run: MakeRun, tmp_path: Path, figures: list[Figure]
) -> None:
    plot_runs([make_run("a"), make_run("b", seed=1, every=25_000)], tmp_path / "out.png")
    assert list(figures[0].axes[0].lines[0].get_xdata()) == [0, 25_000, 50_000, 75_000]


def test_an_environment_without_success(make_run: MakeRun, tmp_path: Path, figures: list[Figure]) -> None:
    plot_runs([make_run("a", success=False)], tmp_path / "a.svg")
    assert [axis.get_ylabel() for axis in figures[0].axes][:1] == ["return of an episode"]
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_the_measure_can_be_chosen(make_run: MakeRun, tmp_path: Path, figures: list[Figure]) -> None:
    run = make_run("a")
    plot_runs([run, make_run("b", seed=1)], tmp_path / "a.png", measure="success_last")
    assert figures[0].axes[0].get_ylabel() == "success, at the last step"
    with pytest.raises(AwacError, match="success_share"):
        plot_runs([run], tmp_path / "b.png", measure="success_share")


def test_nothing_to_draw(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run("a")
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(AwacError, match="no evaluations"):
        plot_runs([run], tmp_path / "a.png")
    with pytest.raises(AwacError, match="no run folder"):
        plot_runs([tmp_path], tmp_path / "a.png")


def test_a_border_that_was_not_reached_does_not_widen_the_picture(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a", "offline.updates=1000000")
    rows = (run / "metrics.jsonl").read_text().splitlines(keepends=True)[:3]
    (run / "metrics.jsonl").write_text("".join(rows))
    picture = image.imread(plot_runs([run], tmp_path / "a.png"))
    assert picture.shape[1] < 3000


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "3",
        "{}",
        '{"event": "eval"}',
        "[" * 100_000,
        "9" * 10_000,
        '{"event": "eval", "phase": "offline", "update": -1, "env_step": 0}',
        '{"event": "eval", "phase": "offline", "update": 1, "env_step": 0, "wall": 0, "return": "much"}',
        '{"event": "eval", "phase": "offline", "update": 1, "env_step": 0, "wall": 0, "return": Infinity}',
        '{"event": "eval", "phase": "offline", "update": 1, "env_step": 0, "wall": 0, "return": 1e300}',
        '{"event": "eval", "phase": "offline", "update": 1, "env_step": 0, "wall": 0, "success_any": 1e9}',
        '{"event": "eval", "phase": "offline", "update": 1e3, "env_step": 0, "wall": 0}',
    ],
    ids=range(12),
)
def test_rows_that_are_none_are_refused(make_run: MakeRun, tmp_path: Path, line: str) -> None:
    run = make_run("a")
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(AwacError, match=r"not a row of metrics|a share lies from 0 to 1"):
        plot_runs([run], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_runs_that_share_no_evaluation_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run("a"), make_run("b", seed=1)]
    rows = [json.loads(line) for line in (runs[1] / "metrics.jsonl").read_text().splitlines()]
    moved = [row | {"update": row["update"] + 1} for row in rows]
    (runs[1] / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in moved))
    with pytest.raises(AwacError, match="never evaluated after the same update"):
        plot_runs(runs, tmp_path / "a.png")
