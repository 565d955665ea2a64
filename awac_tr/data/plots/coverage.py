"""How much of the states of one dataset another has seen: a number, and the distances it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.data.plots.sample import Sample
from awac_tr.data.plots.style import Theme, clean, percent, share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["TYPICAL", "Comparison", "Coverage", "compare", "coverage", "draw_coverage", "nearest"]

TYPICAL: Final = 0.95
"""Share of a dataset's states that lie within its typical distance of its own other episodes."""

_BLOCK: Final = 512
_FAR: Final = 3.0
_LETTERS: Final = 22


@dataclass(frozen=True)
class Coverage:
    """How one dataset covers another.

    Args:
        share: of the states that are covered, 0 to 1; NaN where either has no finite state, or the other only one.
        typical: the typical distance, in standard deviations of the states that are to be covered.
        distances: [n] from each state to the nearest of the covering dataset, divided by the typical distance.
    """

    share: float
    typical: float
    distances: NDArray[np.float64]


def coverage(known: Sample, other: Sample) -> Coverage:
    r"""Share of the states of ``other`` that lie where ``known`` has been.

    With A the states drawn from ``known`` and B those from ``other``, every entry divided by its standard deviation
    over B (constant entries of B by 1), and d the Euclidean distance:

    1. the *typical distance* r of B is the 95 % quantile, over b in B, of d(b, nearest state of B of another episode).
       Other episodes are asked for since the rows before and after a state are always near it. Where B holds one
       episode only, other rows are taken;
    2. a state b is *covered* where d(b, nearest state of A) <= r: A comes as close to it as B's own episodes do to each
       other;
    3. the coverage is the share of B that is covered.

    So another lot of episodes, as many and of the same source, covers B to about 95 %, and 0 % means that A has been
    nowhere near. The yardstick is B's alone: of several A, those with more episodes of a kind never cover less. It is
    not symmetric: little data can lie well inside of much. It is an estimate from at most
    :data:`~awac_tr.data.plots.sample.STATES` states of each, the same in every call; that many leave it uncertain by
    about one percent.
    """
    if not len(known.states) or len(other.states) < 2:  # noqa: PLR2004  (a state has no distance to itself)
        return Coverage(float("nan"), float("nan"), np.empty(0))
    mean, scale = other.states.mean(0, dtype=np.float64), other.states.std(0, dtype=np.float64)
    scale[scale == 0] = 1.0
    mine, theirs = (known.states - mean) / scale, (other.states - mean) / scale
    groups = other.episodes if len(np.unique(other.episodes)) > 1 else np.arange(len(theirs))
    typical = float(np.quantile(nearest(theirs, theirs, apart=groups), TYPICAL))
    distances = nearest(theirs, mine)
    # without spread there is no scale to divide by: a state is either one of A's or not
    relative = distances / typical if typical > 0 else np.where(distances > 0, np.inf, 0.0)
    return Coverage(float((relative <= 1).mean()), typical, relative)


def nearest(states: NDArray[Any], among: NDArray[Any], *, apart: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Euclidean distances [n] from states [n, o] to the nearest among others [m, o].

    Where both are the same states, those of the same label in ``apart`` [n] are passed over.
    """
    among, found = among.astype(np.float64), np.empty(len(states))
    squares = (among**2).sum(1)
    for start in range(0, len(states), _BLOCK):
        block = states[start : start + _BLOCK].astype(np.float64)
        distances = (block**2).sum(1)[:, None] + squares - 2 * block @ among.T
        if apart is not None:
            distances[apart[start : start + _BLOCK, None] == apart] = np.inf
        # the sum above loses digits where states are close: the nearest is chosen by it, its distance taken anew
        chosen = distances.argmin(1)
        found[start : start + _BLOCK] = np.sqrt(((block - among[chosen]) ** 2).sum(1))
    return found


@dataclass(frozen=True)
class Comparison:
    """The dataset of a number in the picture: how it covers the one it is held against, and how that covers it."""

    number: int
    covers: Coverage
    covered: Coverage


def compare(samples: Sequence[Sample], against: Sample) -> list[Comparison]:
    """Every dataset against one; that one itself, where it is among them, is left out."""
    return [
        Comparison(number, coverage(sample, against), coverage(against, sample))
        for number, sample in enumerate(samples)
        if sample.path.resolve() != against.path.resolve()
    ]


def draw_coverage(
    figure: Figure | SubFigure, samples: Sequence[Sample], against: Sample, found: Sequence[Comparison], theme: Theme
) -> None:
    """Two panels: how much of ``against`` the datasets cover, and how much of them it covers."""
    left, right = figure.subplots(1, 2, sharey=True)
    mine = clean(samples[found[0].number].name, _LETTERS) if len(found) == 1 else "each dataset"
    other = clean(against.name, _LETTERS)
    _panel(left, [(one.number, one.covers) for one in found], theme, f"States of {other} that {mine} covers")
    _panel(right, [(one.number, one.covered) for one in found], theme, f"States of {mine} that {other} covers")
    left.set_ylabel("share of states")


def _panel(axis: Axes, found: Sequence[tuple[int, Coverage]], theme: Theme, title: str) -> None:
    """Share of states within a distance, one line a dataset; its value at the typical distance is written below."""
    axis.axvline(1.0, color=theme.faint, lw=1.0, ls="--")
    for place, (number, one) in enumerate(reversed(found)):
        colour = theme.colour(number)
        if np.isnan(one.share):
            continue
        distances = np.sort(np.append(one.distances, _FAR))
        axis.step(
            distances,
            np.searchsorted(distances[:-1], distances, "right") / len(one.distances),
            where="post",
            color=colour,
        )
        axis.plot([1.0], [one.share], "o", ms=4, color=colour)
        text, height = f"{share_text(one.share)} within the typical distance", 0.05 + 0.1 * place
        axis.annotate(text, (0.98, height), xycoords="axes fraction", color=colour, weight="bold", ha="right")
    axis.set(xlim=(0, _FAR), ylim=(0, 1.02), title=title, xlabel="distance to the nearest state / typical distance")
    percent(axis)
