"""Learning curves: success and return of one run or of several, against updates and environment steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.plots.style import FORMATS, LIGHT
from awac_tr.errors import AwacError
from awac_tr.recipes.loader import load_recipe
from awac_tr.training.metrics import read_rows
from awac_tr.training.summary import evaluations, measure_names
from awac_tr.utils.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from awac_tr.recipes.schema import Recipe

__all__ = ["plot_runs"]

_GREY: Final = "#666666"
_NAMES: Final = {
    "success_any": "at any step",
    "success_last": "at the last step",
    "success_share": "share of steps",
    "success_steps": "enough goal steps",
    "return": "return",
}
_STYLE: Final[Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "figure.dpi": 150,
}


@dataclass(frozen=True)
class _Curve:
    """Evaluations of a run.

    Attributes:
        run: name of its folder.
        recipe: what was run.
        updates: [n] gradient steps.
        steps: [n] environment steps.
        values: measure -> [n].
        clone: measure -> value of the clone that made the data.
    """

    run: str
    recipe: Recipe
    updates: NDArray[np.int64]
    steps: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    clone: dict[str, float]


def plot_runs(runs: Sequence[str | Path], out: str | Path, *, measure: str | None = None) -> Path:
    """Draw runs into one figure: success above, return below.

    One run shows all success measures, the chosen one bold. Of several, runs that differ in their seed
    only are one line, their mean, and a band from the smallest to the largest.

    Args:
        runs: run folders.
        out: a .png, .pdf or .svg file.
        measure: the success measure to show; None: the one the first run's recipe chooses checkpoints by, where the
            runs have it.

    Returns:
        The file.

    Raises:
        AwacError: a folder is no run, has no evaluations yet, or does not have the measure; another kind of file.
    """
    if Path(out).suffix not in FORMATS:
        raise AwacError(f"cannot draw into {out}", f"name a file that ends in {', '.join(FORMATS)}.")
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curves = [_read(Path(run)) for run in runs]
    measure = _chosen(curves, measure)
    rows = [name for name in (measure, "return") if name is not None]
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(len(rows), 1, figsize=(7.2, 2.7 * len(rows) + 0.7), sharex=True, squeeze=False)
        for axis, name in zip(axes[:, 0], rows, strict=True):
            _panel(axis, curves, name)
        _finish(list(axes[:, 0]), curves)
        try:
            with replacing(Path(out), AwacError) as file:
                figure.savefig(file, format=Path(out).suffix[1:], bbox_inches="tight")
        finally:
            plt.close(figure)
    return Path(out)


def _read(run: Path) -> _Curve:
    rows = read_rows(run)
    evaluated = evaluations(rows)
    if not evaluated:
        raise AwacError(f"{run} has no evaluations yet: there is nothing to draw")
    names = measure_names(rows)
    _require_shares(run, evaluated, names)
    clone = next((row for row in rows if row["event"] == "eval" and row["phase"] == "clone"), {})
    return _Curve(
        run=run.resolve().name,
        recipe=load_recipe(run / "recipe.yaml").recipe,
        updates=np.array([row["update"] for row in evaluated]),
        steps=np.array([row["env_step"] for row in evaluated]),
        values={name: np.array([row.get(name) for row in evaluated], np.float64) for name in names},
        clone={name: clone[name] for name in names if clone.get(name) is not None},
    )


def _require_shares(run: Path, evaluated: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    for name in names:
        wrong = [row[name] for row in evaluated if name.startswith("success") and not 0 <= (row.get(name) or 0) <= 1]
        if wrong:
            raise AwacError(f"{run}: {name} is {wrong[0]} in one evaluation, and a share lies from 0 to 1")


def _chosen(curves: Sequence[_Curve], measure: str | None) -> str | None:
    """The success measure of the upper panel; None where the environment knows no success."""
    known = set.intersection(*(set(curve.values) for curve in curves))
    if measure is not None and measure not in known:
        raise AwacError(f"these runs have no measure {measure!r}", f"they have {', '.join(sorted(known))}.")
    wanted = measure or curves[0].recipe.checkpoint.measure
    if wanted in (None, "return"):
        wanted = "success_any"
    return wanted if wanted in known else None


def _panel(axis: Axes, curves: Sequence[_Curve], name: str) -> None:
    if name == "return":
        axis.set_ylabel("return of an episode")
    else:
        axis.set_ylabel(f"success, {_NAMES[name]}" if len(curves) > 1 else "success")
        axis.set_ylim(-0.02, 1.02)
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    if len(curves) == 1:
        _one_run(axis, curves[0], name)
    else:
        _many_runs(axis, curves, name)


def _one_run(axis: Axes, curve: _Curve, name: str) -> None:
    others = [] if name == "return" else [key for key in curve.values if key.startswith("success") and key != name]
    ends = []
    for colour, key in zip(LIGHT.palette[1:], others, strict=False):
        axis.plot(curve.updates, curve.values[key], color=colour, lw=1.0, alpha=0.75)
        ends.append((float(curve.values[key][-1]), _NAMES[key], colour, False))
    axis.plot(curve.updates, curve.values[name], color=LIGHT.palette[0], lw=2.4, marker="o", ms=3)
    ends.append((float(curve.values[name][-1]), _NAMES[name], LIGHT.palette[0], True))
    _label_ends(axis, float(curve.updates[-1]), ends)
    if name in curve.clone:
        _clone_line(axis, curve.clone[name])


def _many_runs(axis: Axes, curves: Sequence[_Curve], name: str) -> None:
    ends = []
    for number, (name_of_group, group) in enumerate(_groups(curves)):
        colour = LIGHT.colour(number)
        x, values = _aligned(group, name)
        mean = values.mean(0)
        if len(group) > 1:
            axis.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.18, lw=0)
        axis.plot(x, mean, color=colour, lw=2.0, marker="o", ms=2.5)
        label = name_of_group if len(group) == 1 else f"{name_of_group} ({len(group)} runs)"
        ends.append((float(mean[-1]), label, colour, False))
    clones = [curve.clone[name] for curve in curves if name in curve.clone]
    if clones:
        _clone_line(axis, float(np.mean(clones)))
    _label_ends(axis, float(max(curve.updates[-1] for curve in curves)), ends)


def _groups(curves: Sequence[_Curve]) -> list[tuple[str, list[_Curve]]]:
    """Runs that differ in their seed only, named by recipe, or by folder where recipes share a name."""
    alike: dict[str, list[_Curve]] = {}
    for curve in curves:
        alike.setdefault(curve.recipe.model_copy(update={"seed": 0}).model_dump_json(), []).append(curve)
    names = [group[0].recipe.name for group in alike.values()]
    return [
        (name if names.count(name) == 1 else group[0].run, group)
        for name, group in zip(names, alike.values(), strict=True)
    ]


def _aligned(group: Sequence[_Curve], name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Values at the updates that all runs of a group have, [runs, n]."""
    shared = sorted(set.intersection(*(set(curve.updates.tolist()) for curve in group)))
    if not shared:
        raise AwacError(f"{' and '.join(curve.run for curve in group)} were never evaluated after the same update")
    picked = [curve.values[name][np.searchsorted(curve.updates, shared)] for curve in group]
    return np.array(shared), np.stack(picked)


def _label_ends(axis: Axes, x: float, ends: Sequence[tuple[float, str, str, bool]]) -> None:
    """Write each line's name at its right end, names moved apart where lines meet."""
    low, high = axis.get_ylim()
    gap, at = (high - low) * 0.09, -np.inf
    for value, text, colour, bold in sorted(ends):
        at = max(value, at + gap)
        weight = "bold" if bold else "normal"
        axis.annotate(
            f" {text}",
            (x, at),
            color=colour,
            va="center",
            fontsize=8,
            weight=weight,
            annotation_clip=False,
            xycoords="data",
        )


def _clone_line(axis: Axes, value: float) -> None:
    axis.axhline(value, color=_GREY, lw=1.2, ls="--")
    axis.annotate(" clone", (0.0, value), xycoords=("axes fraction", "data"), color=_GREY, fontsize=8, va="bottom")


def _finish(axes: Sequence[Axes], curves: Sequence[_Curve]) -> None:
    """Border between the phases, the two x axes, and a title."""
    first = curves[0].recipe
    border, ratio = first.offline.updates, first.online.updates_per_step
    both = border > 0 and first.online.steps > 0
    for axis in axes if both else ():
        axis.axvline(border, color=_GREY, lw=1.0, ls=":")
    if both:
        for text, side in (("offline ", "right"), (" online", "left")):
            place = ("data", "axes fraction")
            # a border that is not reached yet must not widen the picture until it is
            style: Any = {"ha": side, "va": "top", "color": _GREY, "fontsize": 8, "annotation_clip": True}
            axes[0].annotate(text, (border, 1.0), xycoords=place, **style)
    axes[-1].set_xlabel("gradient updates")
    axes[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    longest = max(int(curve.updates[-1]) for curve in curves)
    axes[-1].set_xlim(-0.01 * longest, 1.01 * longest or 1)
    same = all((c.recipe.offline.updates, c.recipe.online.updates_per_step) == (border, ratio) for c in curves)
    stepped = first.online.steps > 0 and ratio > 0 and same
    if stepped:
        _step_axis(axes[0], border, ratio)
    count = len(_groups(curves))
    title = (first.name if count == 1 else f"{count} recipes") + f" on {first.env.id}"
    axes[0].set_title(title, loc="left", weight="bold", pad=16 if stepped else 8)


def _step_axis(axis: Axes, border: int, ratio: float) -> None:
    """A second x axis above: environment steps, a function of the updates after the border."""
    from matplotlib.ticker import MaxNLocator

    def steps_at(updates: Any) -> Any:
        return (updates - border) / ratio

    def updates_at(steps: Any) -> Any:
        return steps * ratio + border

    above = axis.secondary_xaxis("top", functions=(steps_at, updates_at))
    last = steps_at(axis.get_xlim()[1])
    ticks = [tick for tick in MaxNLocator(6, integer=True).tick_values(0, max(last, 1)) if 0 <= tick <= last]
    above.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    above.set_xlabel("environment steps", fontsize=8, color=_GREY)
    above.tick_params(colors=_GREY, labelsize=8)
    above.spines["top"].set_visible(False)
