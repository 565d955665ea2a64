"""Success over the episodes of a file, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.data.plots.sample import Sample
from awac_tr.data.plots.style import Theme, percent, share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["draw_success", "draw_success_panel", "running_mean"]

_MEASURE: Final = "success_any"
_WINDOWS: Final = 12
_NARROWEST: Final = 5


def draw_success(figure: Figure | SubFigure, samples: Sequence[Sample], theme: Theme) -> None:
    """The panel alone."""
    draw_success_panel(figure.subplots(), samples, theme)


def draw_success_panel(axis: Axes, samples: Sequence[Sample], theme: Theme) -> None:
    """Running share of episodes that reach the goal; of one dataset also each episode, as a mark above or below.

    Several datasets are drawn against the share of their episodes gone by, since they differ in number.
    """
    known = [(number, sample) for number, sample in enumerate(samples) if _MEASURE in sample.measures]
    axis.set(ylim=(-0.06, 1.06), title="Success, in the order of the file", ylabel="reach the goal")
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    percent(axis)
    if len(samples) > 1:
        axis.set(xlim=(0, 1), xlabel="share of the file's episodes")
        percent(axis, "x")
    for number, sample in known:
        _one(axis, sample, theme, number, alone=len(samples) == 1)
    if not known:
        axis.annotate("no success recorded", (0.5, 0.5), xycoords="axes fraction", ha="center", color=theme.faint)


def _one(axis: Axes, sample: Sample, theme: Theme, number: int, *, alone: bool) -> None:
    colour = theme.colour(number)
    reached = sample.measures[_MEASURE]
    episodes, window = np.arange(len(reached)), max(_NARROWEST, len(reached) // _WINDOWS | 1)
    x = episodes if alone else (episodes + 0.5) / len(reached)
    axis.plot(x, running_mean(reached, window), color=colour, lw=1.8)
    if not alone:
        return
    for value, height in ((1.0, 1.03), (0.0, -0.03)):
        at = x[reached == value]
        axis.plot(at, np.full(len(at), height), "|", color=colour, ms=5, mew=0.8, alpha=0.7)
    axis.axhline(float(reached.mean()), color=theme.faint, lw=1.0, ls=":")
    axis.set(
        title=f"Success: {share_text(float(reached.mean()))} of the episodes",
        xlabel=f"episode (line: mean of {window})",
    )


def running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean of the values around each, fewer at the ends.

    Args:
        values: [E].
        window: how many, rounded up to an odd number.

    >>> running_mean(np.array([0.0, 0.0, 3.0, 3.0]), 3)
    array([0., 1., 2., 3.])
    """
    half = window // 2
    sums, at = np.concatenate([[0.0], np.cumsum(values)]), np.arange(len(values))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    found: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return found
