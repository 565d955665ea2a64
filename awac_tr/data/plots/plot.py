"""Pictures of dataset files: all of them in one file, as ``awac-tr data plot`` draws, or each as the bytes of a PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from awac_tr.data.plots.coverage import Comparison, compare, draw_coverage
from awac_tr.data.plots.episodes import draw_length_panel, draw_return_panel, draw_success_panel
from awac_tr.data.plots.rows import draw_actions, draw_rewards_panel, draw_states_panel
from awac_tr.data.plots.sample import Sample, take_samples
from awac_tr.data.plots.style import FORMATS, LIGHT, Theme, styled
from awac_tr.errors import DatasetError
from awac_tr.utils.atomic import replacing
from awac_tr.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["PICTURES", "Against", "CoverageRow", "PlotReport", "draw_picture", "plot_datasets", "samples_against"]

_WIDTH: Final = 9.0
_DPI: Final = 150
_COVERAGE_HEIGHT: Final = 3.0

Panel = Callable[["Axes", Sequence[Sample], Theme], None]

PICTURES: Final[dict[str, tuple[tuple[Panel, ...], Callable[[int], float]]]] = {
    "returns": ((draw_return_panel, draw_length_panel), lambda _: 2.6),
    "success": ((draw_success_panel,), lambda _: 2.6),
    "states": ((draw_states_panel,), lambda _: 4.6),
    "rewards": ((draw_rewards_panel,), lambda _: 3.8),
    "actions": ((), lambda samples: 0.5 + 2.3 * samples),
}
"""Picture -> its panels (actions divide their figure themselves), and its height in inches for a number of datasets."""

_ROWS: Final = ((2.4, ("returns", "success")), (3.6, ("states", "rewards")))


@dataclass(frozen=True)
class Against:
    """A dataset that others are held against, and what came of it, at least one comparison."""

    sample: Sample
    found: list[Comparison]


@dataclass(frozen=True)
class CoverageRow:
    """How two datasets cover each other, see :func:`awac_tr.data.plots.coverage.coverage`.

    Args:
        dataset: name of one; ``against``: of the other.
        covers: share of the other's states that lie where the first has been, 0 to 1; ``covered``: the reverse.
        states: states compared, of the first and of the other.
    """

    dataset: str
    against: str
    covers: float
    covered: float
    states: tuple[int, int]


@dataclass(frozen=True)
class PlotReport:
    """What was drawn: the picture, the names of the datasets in it, and a row a dataset that was compared."""

    path: Path
    datasets: list[str]
    coverage: list[CoverageRow]


def plot_datasets(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    against: str | Path | None = None,
    only: Sequence[str] = (),
    seed: int = 0,
    theme: Theme = LIGHT,
) -> PlotReport:
    """Draw datasets into one picture.

    Args:
        paths: dataset files with observations of one width.
        out: a .png, .pdf or .svg file; replaced if it is there, whole or not at all.
        against: a dataset whose states are looked for in the others, and theirs in it.
        only: some of :data:`PICTURES`; empty: all. Coverage is drawn whenever ``against`` is given.
        seed: of the states that are drawn for the map and for coverage.
        theme: colours.

    Raises:
        DatasetError: a file cannot be read, the datasets do not fit together, an unknown picture or kind of file, or
            the picture cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() not in FORMATS:
        raise DatasetError(f"cannot draw into {out}", f"Name a file that ends in {', '.join(FORMATS)}.")
    for name in only:
        if name not in PICTURES:
            message = f"there is no picture {name!r}{did_you_mean(name, PICTURES)}"
            raise DatasetError(message, f"There are {', '.join(PICTURES)}.")
    samples, held = samples_against(paths, against, seed=seed)
    with styled(theme), replacing(out, DatasetError) as file:
        file.write(_bytes(_overview(samples, only or list(PICTURES), held, theme), out.suffix.lower()[1:], _DPI))
    return PlotReport(out, [sample.name for sample in samples], _coverage_rows(samples, held))


def samples_against(
    paths: Sequence[str | Path], against: str | Path | None, *, seed: int = 0
) -> tuple[list[Sample], Against | None]:
    """Samples of files, and of one they are held against.

    Raises:
        DatasetError: as :func:`awac_tr.data.plots.sample.take_samples`; the file to compare with is the only one.
    """
    if against is None:
        return take_samples(paths, seed=seed), None
    places = [Path(path).resolve() for path in paths]
    if set(places) == {Path(against).resolve()}:
        raise DatasetError(f"{against} would be compared with itself", "Name another dataset.")
    if Path(against).resolve() in places:
        samples = take_samples(paths, seed=seed)
        other = samples[places.index(Path(against).resolve())]
    else:
        *samples, other = take_samples([*paths, against], seed=seed)
    return samples, Against(other, compare(samples, other))


def _coverage_rows(samples: Sequence[Sample], against: Against | None) -> list[CoverageRow]:
    if against is None:
        return []
    other, rows = against.sample, []
    for one in against.found:
        sample = samples[one.number]
        states = (len(sample.states), len(other.states))
        rows.append(CoverageRow(sample.name, other.name, one.covers.share, one.covered.share, states))
    return rows


def draw_picture(
    name: str, samples: Sequence[Sample], theme: Theme, *, against: Against | None = None, dpi: int = _DPI
) -> bytes:
    """One picture as a PNG, nine inches wide.

    Args:
        name: one of :data:`PICTURES`, or ``coverage``, which needs ``against``.
        samples: the datasets.
        theme: colours.
        against: for ``coverage``, the dataset to compare with.
        dpi: pixels an inch.
    """
    with styled(theme):
        figure = _figure(_COVERAGE_HEIGHT if name == "coverage" else PICTURES[name][1](len(samples)))
        _draw_row(figure, [name], samples, against, theme)
        if len(samples) > 1:
            _name_datasets(figure, samples, theme)
        return _bytes(figure, "png", dpi)


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), layout="constrained")


def _overview(samples: Sequence[Sample], only: Sequence[str], against: Against | None, theme: Theme) -> Figure:
    """Rows of panels; a row that nothing was asked of is left out."""
    rows = [(height, [name for name in row if name in only]) for height, row in _ROWS]
    if "actions" in only:
        rows.append((PICTURES["actions"][1](len(samples)), ["actions"]))
    if against is not None:
        rows.append((_COVERAGE_HEIGHT, ["coverage"]))
    rows = [(height, row) for height, row in rows if row]
    figure = _figure(sum(height for height, _ in rows) + 0.3 * len(samples))
    parts = figure.subfigures(len(rows), 1, height_ratios=[height for height, _ in rows], squeeze=False)[:, 0]
    for part, (_, row) in zip(parts, rows, strict=True):
        _draw_row(part, row, samples, against, theme)
    _name_datasets(figure, samples, theme)
    return figure


def _draw_row(
    part: Figure | SubFigure, row: Sequence[str], samples: Sequence[Sample], against: Against | None, theme: Theme
) -> None:
    if row == ["actions"]:
        draw_actions(part, samples, theme)
    elif row == ["coverage"] and against is not None:
        draw_coverage(part, samples, against.sample, against.found, theme)
    else:
        panels = [panel for name in row for panel in PICTURES[name][0]]
        for axis, panel in zip(part.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            panel(axis, samples, theme)


def _name_datasets(figure: Figure, samples: Sequence[Sample], theme: Theme) -> None:
    """Above everything: which colour is which dataset."""
    from matplotlib.patches import Patch

    patches = [Patch(color=theme.colour(number)) for number in range(len(samples))]
    labels = [
        f"{sample.name}: {len(sample.measures['length']):,} episodes, {sample.transitions:,} transitions"
        for sample in samples
    ]
    columns = 2 if len(samples) > 1 else 1
    figure.legend(patches, labels, loc="outside upper left", ncols=columns, handlelength=1.0, handleheight=1.0)


def _bytes(figure: Figure, kind: str, dpi: int) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=dpi)
    return buffer.getvalue()
