"""Rewards step by step, of episodes spread over the file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.data.plots.sample import Sample, Timeline
from awac_tr.data.plots.style import Theme, number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_rewards_panel", "thinned"]

_ROWS: Final = 14
_COLUMNS: Final = 600
_FEW: Final = 4


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
