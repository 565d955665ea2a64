"""``awac-tr data plot`` and ``report``: a picture, or a page of HTML, about datasets."""

from __future__ import annotations

from pathlib import Path

import click

from awac_tr.cli.options import json_option, picture_options
from awac_tr.cli.support import echo_result, examples

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
    *, files: tuple[Path, ...], out: Path | None, against: Path | None, only: tuple[str, ...], seed: int, dark: bool,
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

    report = plot_datasets(
        files,
        out or Path(f"{files[0].stem}.png" if len(files) == 1 else "datasets.png"),
        against=against,
        only=only,
        seed=seed,
        theme=THEMES["dark" if dark else "light"],
    )
    lines = []
    for row in report.coverage:
        mine, other = row.dataset, row.against
        lines.append(
            f"{mine} covers {row.covers:.0%} of {other}'s states; {other} covers {row.covered:.0%} of {mine}'s"
        )
    plain = {"path": report.path, "datasets": report.datasets, "coverage": [vars(row) for row in report.coverage]}
    echo_result(plain, report.path, *lines, as_json=as_json)


@click.command(
    "report",
    epilog=examples(
        "awac-tr data report door-bc --out door-bc.html",
        "awac-tr data report door-demos door-bc --against door-demos --out door.html",
    ),
)
@picture_options("Page to write, .html", ".html")
@json_option
def report_command(
    *, files: tuple[Path, ...], out: Path | None, against: Path | None, seed: int, as_json: bool
) -> None:
    """Write one page about datasets, to be looked at in a browser, and print its name.

    Numbers, lineage, what validation finds, and all pictures; several FILEs are also shown side by side. The page holds
    everything itself: it fetches nothing and runs no script, so it can be sent to anybody.
    """
    from awac_tr.data.report.build import write_report

    name = Path(f"{files[0].stem}.html" if len(files) == 1 else "datasets.html")
    written = write_report(files, out or name, against=against, seed=seed)
    echo_result({"path": written, "datasets": files}, written, as_json=as_json)
