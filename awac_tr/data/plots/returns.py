"""Histograms over episodes: return and length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.data.plots.sample import Sample
from awac_tr.data.plots.style import Theme, number_text, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["draw_length_panel", "draw_return_panel", "draw_returns", "edges_of"]

_MAX_BINS: Final = 30


def draw_returns(figure: Figure | SubFigure, samples: Sequence[Sample], theme: Theme) -> None:
    """Return and length of the episodes, side by side."""
    left, right = figure.subplots(1, 2)
    draw_return_panel(left, samples, theme)
    draw_length_panel(right, samples, theme)


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

    values = [_finite(sample.measures[measure]) for sample in samples]
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


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
