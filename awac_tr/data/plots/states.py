"""A map of the states that were visited: every dataset in one plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from awac_tr.data.plots.sample import Sample
from awac_tr.data.plots.style import Theme, share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Projection", "draw_states_panel", "project"]


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
