"""How the actions are spread between their bounds, joint by joint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.plots.sample import Sample
from awac_tr.data.plots.style import Theme, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

__all__ = ["draw_actions"]

_LABELS: Final = 40


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
