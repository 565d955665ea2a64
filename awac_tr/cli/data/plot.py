"""``awac-tr data plot`` and ``report``: a picture, or a page of HTML, about datasets."""

from __future__ import annotations

from pathlib import Path

import click

from awac_tr.cli.options import json_option, picture_options
from awac_tr.cli.support import echo_json, examples
from awac_tr.utils.terminal import echo

__all__ = ["command", "report_command"]

_PICTURES = ("returns", "success", "states", "rewards", "actions")


@click.command(
    "plot",
    epilog=examples(
        "awac-tr data plot door-bc",
        "awac-tr data plot door-demos door-bc --against door-demos --out door.png",
        "awac-tr data plot door-demos door-bc --only states --only rewards",
    ),
)
@picture_options("Picture to write: .png, .pdf or .svg", ".png")
@click.option("--only", type=click.Choice(_PICTURES), multiple=True, help="Draw these only; may be given again.")
@click.option("--dark", is_flag=True, help="Draw for a dark page.")
@json_option
def command(
    *, files: tuple[str, ...], out: Path | None, against: str | None, only: tuple[str, ...], seed: int, dark: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Draw datasets into one picture, and print its name.

    Returns and lengths of the episodes, success over the file, a map of the states, rewards of sample episodes, how
    actions are spread between their bounds. Several FILEs share one map.

    Coverage, with --against: the share of one dataset's states to which the other comes as close as 95 % of them lie to
    their own dataset's other episodes.
    """
    from awac_tr.data.plots.plot import plot_datasets
    from awac_tr.data.plots.style import THEMES
    from awac_tr.data.storage.paths import dataset_path

    paths = [dataset_path(file) for file in files]
    report = plot_datasets(
        paths,
        out or Path(f"{paths[0].stem}.png" if len(paths) == 1 else "datasets.png"),
        against=dataset_path(against) if against else None,
        only=only,
        seed=seed,
        theme=THEMES["dark" if dark else "light"],
    )
    if as_json:
        rows = [vars(row) for row in report.coverage]
        echo_json({"path": report.path, "datasets": report.datasets, "coverage": rows})
        return
    echo(report.path)
    for row in report.coverage:
        mine, other = row.dataset, row.against
        echo(f"{mine} covers {row.covers:.0%} of {other}'s states; {other} covers {row.covered:.0%} of {mine}'s")


@click.command(
    "report",
    epilog=examples(
        "awac-tr data report door-bc --out door-bc.html",
        "awac-tr data report door-demos door-bc --against door-demos --out door.html",
    ),
)
@picture_options("Page to write, .html", ".html")
@json_option
def report_command(*, files: tuple[str, ...], out: Path | None, against: str | None, seed: int, as_json: bool) -> None:
    """Write one page about datasets, to be looked at in a browser, and print its name.

    Numbers, lineage, what validation finds, and all pictures; several FILEs are also shown side by side. The page holds
    everything itself: it fetches nothing and runs no script, so it can be sent to anybody.
    """
    from awac_tr.data.report.build import write_report
    from awac_tr.data.storage.paths import dataset_path

    paths = [dataset_path(file) for file in files]
    name = Path(f"{paths[0].stem}.html" if len(paths) == 1 else "datasets.html")
    written = write_report(paths, out or name, against=dataset_path(against) if against else None, seed=seed)
    if as_json:
        echo_json({"path": written, "datasets": paths})
    else:
        echo(written)
