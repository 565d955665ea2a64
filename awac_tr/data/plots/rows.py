"""Over the rows of files: a map of the states visited, rewards step by step, and actions between their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.data.plots.sample import Sample, Timeline
from awac_tr.data.plots.style import Theme, number_text, percent, share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["Projection", "draw_actions", "draw_rewards_panel", "draw_states_panel", "project", "thinned"]

_ROWS: Final = 14
_COLUMNS: Final = 600
_FEW: Final = 4
_LABELS: Final = 40


@dataclass(frozen=True)
class Projection:
    """States in the plane of their two main directions: points [n, 2] of each dataset, and shares of variance."""

    points: tuple[NDArray[np.float64], ...]
    explained: tuple[float, float]


def project(states: Sequence[NDArray[np.float32]]) -> Projection:
    """Principal components of standardised states [n, o], one projection for all datasets.

    Mean, deviation and directions are those of a pool that holds equally many states of each dataset (its first ones,
    at even distances), so that a large file does not decide what is seen of a small one. Entries are divided by their
    standard deviation, constant ones by 1; the directions come from a singular value decomposition, each turned so
    that its largest entry is positive.
    """
    each = min((len(rows) for rows in states if len(rows)), default=0)
    spread = [rows[np.linspace(0, len(rows) - 1, each).astype(int)] for rows in states if len(rows)]
    pool = np.concatenate(spread).astype(np.float64) if spread else np.zeros((1, states[0].shape[1]))
    mean, std = pool.mean(0), pool.std(0)
    std[std == 0] = 1.0
    _, singular, directions = np.linalg.svd((pool - mean) / std, full_matrices=False)
    plane = np.zeros((2, pool.shape[1]))
    plane[: len(directions[:2])] = directions[:2]
    plane *= np.where(np.take_along_axis(plane, np.abs(plane).argmax(1)[:, None], 1) < 0, -1.0, 1.0)
    shares = np.zeros(2)
    shares[: len(singular[:2])] = (singular**2 / max(float((singular**2).sum()), 1e-300))[:2]
    points = tuple((rows.astype(np.float64) - mean) / std @ plane.T for rows in states)
    return Projection(points, (float(shares[0]), float(shares[1])))


def draw_states_panel(axis: Axes, samples: Sequence[Sample], theme: Theme) -> None:
    """Points of all datasets, none on top; of one dataset coloured by how far along in its episode a state is."""
    found = project([sample.states for sample in samples])
    points = np.concatenate(found.points)
    # drawn one after the other, the last dataset would hide the others
    order = np.random.default_rng(0).permutation(len(points))
    how: dict[str, Any] = {"s": 5, "lw": 0, "alpha": 0.5, "rasterized": True}
    if len(samples) == 1:
        _by_progress(axis, points[order], samples[0].progress[order], theme, how)
    else:
        of = np.repeat(np.arange(len(samples)), [len(rows) for rows in found.points])[order]
        axis.scatter(points[order, 0], points[order, 1], c=[theme.colour(number) for number in of.tolist()], **how)
    axis.set_title("States visited, by the main directions of their spread")
    first, second = (f"direction ({share_text(share)} of variance)" for share in found.explained)
    axis.set(xlabel=f"first {first}", ylabel=f"second {second}")


def _by_progress(axis: Axes, points: Any, progress: Any, theme: Theme, how: dict[str, Any]) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    # the end of the map that would vanish in the paper is left out
    ends = (0.22, 1.0) if theme.name == "dark" else (0.92, 0.0)
    ramp = ListedColormap(colormaps["viridis"](np.linspace(*ends, 256)))
    drawn = axis.scatter(points[:, 0], points[:, 1], c=progress, cmap=ramp, vmin=0, vmax=1, **how)
    bar = axis.figure.colorbar(drawn, ax=axis, fraction=0.04, pad=0.02)
    bar.set_ticks([0, 1], labels=["first step", "last step"])
    for label, side in zip(bar.ax.get_yticklabels(), ("bottom", "top"), strict=True):
        label.set(rotation=90, va=side)
    bar.solids.set_alpha(1)  # type: ignore[union-attr]
    bar.outline.set_visible(False)


def draw_rewards_panel(axis: Axes, samples: Sequence[Sample], theme: Theme) -> None:
    """A bar an episode, from its first step to its last, coloured by reward; its return is written behind it."""
    from matplotlib.colors import Normalize

    bars = _chosen(samples)
    rewards = np.concatenate([line.rewards for _, line in bars])
    values = np.unique(rewards[np.isfinite(rewards)])
    colours = theme.ramp(theme.grid, theme.palette[2]).with_extremes(bad=theme.palette[3])
    low, high = (float(values[0]), float(values[-1])) if len(values) else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1)
    longest = max(len(line.rewards) for _, line in bars)
    for row, (number, line) in enumerate(bars):
        steps = len(line.rewards)
        axis.imshow(
            thinned(line.rewards, _COLUMNS)[None, :],
            extent=(0, steps, row + 0.36, row - 0.36),
            aspect="auto",
            interpolation="nearest",
            cmap=colours,
            norm=norm,
        )
        axis.annotate(
            f" {number_text(float(line.rewards.sum(dtype=np.float64)))}", (steps, row), va="center", fontsize=7.5
        )
        if len(samples) > 1:
            axis.plot([-0.015 * longest], [row], "s", ms=4, color=theme.colour(number), clip_on=False)
    axis.set(xlim=(-0.03 * longest * (len(samples) > 1), 1.13 * longest), ylim=(len(bars) - 0.4, -0.6), xlabel="step")
    axis.set_yticks(range(len(bars)), [f"{line.episode:,}" for _, line in bars])
    axis.set(ylabel="episode", title="Rewards of sample episodes, return behind each")
    axis.grid(visible=False)
    _legend(axis, values, colours, norm)


def _chosen(samples: Sequence[Sample]) -> list[tuple[int, Timeline]]:
    """(number of the dataset, episode), as many of each dataset as of any other."""
    each = max(1, _ROWS // len(samples))
    found = []
    for number, sample in enumerate(samples):
        at = np.unique(np.linspace(0, len(sample.timelines) - 1, min(each, len(sample.timelines))).round().astype(int))
        found += [(number, sample.timelines[index]) for index in at.tolist()]
    return found


def thinned(rewards: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """At most so many rewards, each the one of its stretch furthest from the most frequent, so that rare ones stay.

    >>> thinned(np.array([-1, -1, 0, -1, -1, -1], np.float32), 3).tolist()
    [-1.0, 0.0, -1.0]
    """
    if len(rewards) <= columns:
        return rewards
    usual, counts = np.unique(rewards, return_counts=True)
    away = np.abs(rewards - usual[counts.argmax()])
    edges = np.linspace(0, len(rewards), columns + 1).astype(int)
    chosen = [first + away[first:last].argmax() for first, last in pairwise(edges)]
    return rewards[chosen]


def _legend(axis: Axes, values: NDArray[Any], colours: Any, norm: Any) -> None:
    """Patches where rewards are few, else a colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Patch

    if len(values) > _FEW:
        bar = axis.figure.colorbar(ScalarMappable(norm, colours), ax=axis, fraction=0.04, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label("reward")
        return
    edge = axis.spines["left"].get_edgecolor()
    patches = [
        Patch(facecolor=colours(norm(value)), edgecolor=edge, lw=0.5, label=number_text(value)) for value in values
    ]
    axis.legend(
        handles=patches, title="reward", loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0, fontsize=8,
        title_fontsize=8, handlelength=1.2, handleheight=1.2,
    )  # fmt: skip


def draw_actions(figure: Figure | SubFigure, samples: Sequence[Sample], theme: Theme) -> None:
    """For every dataset a strip and bars above it.

    The strip has a column for each entry of the action, its colour is how often a value is; the bars are the share of
    rows where the entry lies at a bound.
    """
    top = max((float(np.max(_shares(sample), initial=0.0)) for sample in samples), default=1.0) or 1.0
    highest = max(float(np.max(sample.at_bound, initial=0.0)) for sample in samples)
    grid = figure.add_gridspec(2 * len(samples), 2, height_ratios=[1, 2.6] * len(samples), width_ratios=[60, 1])
    for number, sample in enumerate(samples):
        bars = figure.add_subplot(grid[2 * number, 0])
        strip = figure.add_subplot(grid[2 * number + 1, 0], sharex=bars)
        _bars(bars, sample, theme, number, highest, several=len(samples) > 1)
        image = _strip(strip, sample, theme, number, top)
        bar = figure.colorbar(image, cax=figure.add_subplot(grid[2 * number + 1, 1]))
        bar.outline.set_visible(False)
        bar.set_label("share of rows")
        percent(bar.ax)
        if number == len(samples) - 1:
            strip.set_xlabel("entry of the action")
        else:
            strip.tick_params(labelbottom=False)


def _shares(sample: Sample) -> Any:
    """[a, bins] share of the rows in each bin."""
    return sample.actions / np.maximum(sample.actions.sum(1, keepdims=True), 1)


def _bars(axis: Any, sample: Sample, theme: Theme, number: int, highest: float, *, several: bool) -> None:
    axis.bar(np.arange(len(sample.at_bound)), sample.at_bound, color=theme.colour(number), width=0.8)
    title = f"Actions of {sample.name}: share of rows at a bound, and all values below"
    axis.set_title(title if several else "Actions: share of rows at a bound, and all values below")
    axis.set_ylim(0, max(1.1 * highest, 0.01))
    axis.grid(visible=False, axis="x")
    axis.tick_params(labelbottom=False, bottom=False)
    axis.locator_params(axis="y", nbins=3)
    percent(axis)


def _strip(axis: Any, sample: Sample, theme: Theme, number: int, top: float) -> Any:
    from matplotlib.colors import PowerNorm

    bounds, width = sample.action_bounds, len(sample.action_bounds)
    alike = bool((bounds == bounds[:1]).all())
    low, high = bounds[0] if alike and width else (0.0, 1.0)
    image = axis.imshow(
        _shares(sample).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, width - 0.5, low, high),
        cmap=theme.ramp(theme.paper, theme.colour(number), theme.ink),
        norm=PowerNorm(0.5, 0.0, top),
    )
    axis.set_ylabel("value" if alike else "lower to upper bound")
    axis.grid(visible=False)
    axis.set_xticks(range(0, width, max(1, -(-width // _LABELS))))
    return image
