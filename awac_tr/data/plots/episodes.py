"""Over the episodes of a file: histograms of return and length, and success in the order of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.data.plots.sample import Sample
from awac_tr.data.plots.style import Theme, number_text, percent, share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_length_panel", "draw_return_panel", "draw_success_panel", "edges_of", "running_mean"]

_MAX_BINS: Final = 30
_MEASURE: Final = "success_any"
_WINDOWS: Final = 12
_NARROWEST: Final = 5


def draw_return_panel(axis: Axes, samples: Sequence[Sample], theme: Theme) -> None:
    """Undiscounted return."""
    _histogram(axis, samples, "return", theme)
    axis.set(title="Return of an episode", xlabel="sum of rewards (dotted: mean)", ylabel="share of episodes")


def draw_length_panel(axis: Axes, samples: Sequence[Sample], theme: Theme) -> None:
    """Steps until the episode ended or was cut."""
    _histogram(axis, samples, "length", theme)
    axis.set(title="Length of an episode", xlabel="steps (dotted: mean)", ylabel="share of episodes")


def _histogram(axis: Axes, samples: Sequence[Sample], measure: str, theme: Theme) -> None:
    """One histogram a dataset over common bins, as shares of its episodes, with a line at its mean."""
    from matplotlib.ticker import MaxNLocator

    values = [found[np.isfinite(found)] for found in (sample.measures[measure] for sample in samples)]
    edges = edges_of(np.concatenate(values))
    for number, found in enumerate(values):
        if not len(found):
            continue
        shares, colour = np.histogram(found, edges)[0] / len(found), theme.colour(number)
        axis.stairs(shares, edges, fill=True, color=colour, alpha=0.3)
        axis.stairs(shares, edges, color=colour, lw=1.4)
        axis.axvline(float(found.mean()), color=colour, lw=1.0, ls=":")
    axis.set_ylim(bottom=0)
    axis.grid(visible=False, axis="x")
    whole = all((found == np.round(found)).all() for found in values)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=whole))
    if len(edges) == 2:  # noqa: PLR2004  (one bin would be as wide as the panel)
        middle, width = edges.mean(), edges[1] - edges[0]
        axis.set_xlim(middle - 8 * width, middle + 8 * width)
        axis.set_xticks([middle], [number_text(middle)])
    percent(axis)


def edges_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of bins; whole numbers lie in the middle of theirs, as many in each bin as in any other.

    >>> edges_of(np.array([3.0, 4.0, 6.0]))
    array([2.5, 3.5, 4.5, 5.5, 6.5])
    >>> edges_of(np.array([200.0]))
    array([199.5, 200.5])
    """
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    if (values == np.round(values)).all():
        width = float(np.ceil((high - low + 1) / _MAX_BINS))
        bins = int(np.ceil((high - low + 1) / width))
        return (low - 0.5 + width * np.arange(bins + 1)).astype(np.float64)
    if high - low <= 1e-6 * max(abs(low), abs(high)):  # rounding is no spread
        middle, half = (low + high) / 2, max(abs(high), 1.0) / 20
        return np.array([middle - half, middle + half])
    edges: NDArray[np.float64] = np.linspace(low, high, _MAX_BINS + 1)
    return edges


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
    """Mean of the values [E] around each, of a window that is rounded up to an odd number, fewer at the ends.

    >>> running_mean(np.array([0.0, 0.0, 3.0, 3.0]), 3)
    array([0., 1., 2., 3.])
    """
    half = window // 2
    sums, at = np.concatenate([[0.0], np.cumsum(values)]), np.arange(len(values))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    found: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return found
