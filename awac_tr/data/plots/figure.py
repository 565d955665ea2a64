"""Pictures put together: all of them in one file, or each for itself as the bytes of a PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from awac_tr.data.plots.actions import draw_actions
from awac_tr.data.plots.coverage import Comparison, draw_coverage
from awac_tr.data.plots.returns import draw_length_panel, draw_return_panel, draw_returns
from awac_tr.data.plots.rewards import draw_rewards, draw_rewards_panel
from awac_tr.data.plots.sample import Sample
from awac_tr.data.plots.states import draw_states, draw_states_panel
from awac_tr.data.plots.style import LIGHT, Theme, styled
from awac_tr.data.plots.success import draw_success, draw_success_panel
from awac_tr.errors import DatasetError
from awac_tr.utils.atomic import cannot_write, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["FORMATS", "PICTURES", "Against", "check_format", "draw_picture", "save_overview", "write_whole"]

FORMATS: Final = (".png", ".pdf", ".svg")
"""What a picture's name may end in."""

_WIDTH: Final = 9.0
_DPI: Final = 150
_REPORT_DPI: Final = 180

_COVERAGE_HEIGHT: Final = 3.0

Draw = Callable[["Figure | SubFigure", Sequence[Sample], Theme], None]

PICTURES: Final[dict[str, tuple[Draw, Callable[[int], float]]]] = {
    "returns": (draw_returns, lambda _: 2.6),
    "success": (draw_success, lambda _: 2.6),
    "states": (draw_states, lambda _: 4.6),
    "rewards": (draw_rewards, lambda _: 3.8),
    "actions": (draw_actions, lambda samples: 0.5 + 2.3 * samples),
}
"""Picture -> what draws it, and its height in inches for a number of datasets."""


@dataclass(frozen=True)
class Against:
    """A dataset that others are held against.

    Args:
        sample: that dataset.
        found: what came of it, see :func:`awac_tr.data.plots.coverage.compare`; at least one.
    """

    sample: Sample
    found: list[Comparison]


_ROWS: Final = ((2.4, ("returns", "success")), (3.6, ("states", "rewards")))
_PANELS: Final[dict[str, tuple[Callable[[Axes, Sequence[Sample], Theme], None], ...]]] = {
    "returns": (draw_return_panel, draw_length_panel),
    "success": (draw_success_panel,),
    "states": (draw_states_panel,),
    "rewards": (draw_rewards_panel,),
}


def check_format(out: str | Path) -> Path:
    """The file to draw into.

    Raises:
        DatasetError: its name ends in something else than :data:`FORMATS`.
    """
    if Path(out).suffix.lower() not in FORMATS:
        raise DatasetError(f"cannot draw into {out}", f"Name a file that ends in {', '.join(FORMATS)}.")
    return Path(out)


def save_overview(
    samples: Sequence[Sample],
    out: str | Path,
    *,
    only: Sequence[str] = (),
    against: Against | None = None,
    theme: Theme = LIGHT,
) -> Path:
    """Pictures of one or several datasets in one file.

    Args:
        samples: the datasets.
        out: a .png, .pdf or .svg file; replaced if it is there, whole or not at all.
        only: some of :data:`PICTURES`; empty: all.
        against: a dataset whose states are looked for in the others.
        theme: colours.

    Returns:
        The file.

    Raises:
        DatasetError: another kind of file, or it cannot be written.
    """
    out = check_format(out)
    with styled(theme):
        figure = _overview(samples, only or list(PICTURES), against, theme)
        write_whole(out, _bytes(figure, out.suffix.lower().removeprefix("."), _DPI))
    return out


def draw_picture(
    name: str, samples: Sequence[Sample], theme: Theme, *, against: Against | None = None, dpi: int = _REPORT_DPI
) -> bytes:
    """One picture as a PNG.

    Args:
        name: one of :data:`PICTURES`, or ``coverage``, which needs ``against``.
        samples: the datasets.
        theme: colours.
        against: for ``coverage``, the dataset to compare with.
        dpi: pixels an inch; a picture is nine inches wide.
    """
    with styled(theme):
        if name == "coverage" and against is not None:
            figure = _figure(_COVERAGE_HEIGHT)
            draw_coverage(figure, samples, against.sample, against.found, theme)
        else:
            draw, height = PICTURES[name]
            figure = _figure(height(len(samples)))
            draw(figure, samples, theme)
        if len(samples) > 1:
            _names(figure, samples, theme)
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
        _row(part, row, samples, against, theme)
    _names(figure, samples, theme)
    return figure


def _row(part: SubFigure, row: Sequence[str], samples: Sequence[Sample], against: Against | None, theme: Theme) -> None:
    if row == ["actions"]:
        draw_actions(part, samples, theme)
    elif row == ["coverage"] and against is not None:
        draw_coverage(part, samples, against.sample, against.found, theme)
    else:
        panels = [panel for name in row for panel in _PANELS[name]]
        for axis, panel in zip(part.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            panel(axis, samples, theme)


def _names(figure: Figure, samples: Sequence[Sample], theme: Theme) -> None:
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


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        DatasetError: it cannot be written.
    """
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise cannot_write(path, error, DatasetError) from error
