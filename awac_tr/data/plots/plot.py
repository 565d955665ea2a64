"""Pictures of dataset files: what ``awac-tr data plot`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from awac_tr.data.plots.coverage import compare
from awac_tr.data.plots.figure import PICTURES, Against, check_format, save_overview
from awac_tr.data.plots.sample import Sample, take_samples
from awac_tr.data.plots.style import LIGHT, Theme
from awac_tr.errors import DatasetError
from awac_tr.utils.suggest import did_you_mean

__all__ = ["CoverageRow", "PlotReport", "plot_datasets", "samples_against"]


@dataclass(frozen=True)
class CoverageRow:
    """How two datasets cover each other, see :func:`awac_tr.data.plots.coverage.coverage`.

    Args:
        dataset: name of one.
        against: name of the other.
        covers: share of the other's states that lie where the first has been, 0 to 1.
        covered: share of the first one's states that lie where the other has been.
        states: states compared, of the first and of the other.
    """

    dataset: str
    against: str
    covers: float
    covered: float
    states: tuple[int, int]


@dataclass(frozen=True)
class PlotReport:
    """What was drawn.

    Args:
        path: the picture.
        datasets: names of the datasets as the picture has them.
        coverage: one row a dataset, where there was one to compare with.
    """

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
        out: a .png, .pdf or .svg file; replaced if it is there.
        against: a dataset whose states are looked for in the others, and theirs in it.
        only: names of pictures (see :data:`awac_tr.data.plots.figure.PICTURES`); empty: all. Coverage is drawn whenever
            ``against`` is given.
        seed: of the states that are drawn for the map and for coverage.
        theme: colours.

    Raises:
        DatasetError: a file cannot be read, the datasets do not fit together, an unknown picture or kind of file.
    """
    out = check_format(out)
    for name in only:
        if name not in PICTURES:
            message = f"there is no picture {name!r}{did_you_mean(name, PICTURES)}"
            raise DatasetError(message, f"There are {', '.join(PICTURES)}.")
    samples, held = samples_against(paths, against, seed=seed)
    save_overview(samples, out, only=only, against=held, theme=theme)
    return PlotReport(out, [sample.name for sample in samples], _rows(samples, held))


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


def _rows(samples: Sequence[Sample], against: Against | None) -> list[CoverageRow]:
    if against is None:
        return []
    return [
        CoverageRow(
            samples[one.number].name,
            against.sample.name,
            one.covers.share,
            one.covered.share,
            (len(samples[one.number].states), len(against.sample.states)),
        )
        for one in against.found
    ]
