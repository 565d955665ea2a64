"""``awac-tr plot``: learning curves of runs."""

from __future__ import annotations

from pathlib import Path

import click

from awac_tr.cli.support import examples
from awac_tr.utils.terminal import echo

__all__ = ["command"]


@click.command(
    "plot",
    epilog=examples(
        "awac-tr plot runs/door-1",
        "awac-tr plot runs/door-* runs/door-authors-* --out comparison.png --measure success_last",
    ),
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Picture to write: .png, .pdf or .svg  [default: curve.png in the run, or curves.png here for several].",
)
@click.option(
    "--measure",
    type=click.Choice(["success_any", "success_last", "success_share", "success_steps"]),
    help="Success measure to show  [default: the one of the first run's recipe].",
)
def command(runs: tuple[Path, ...], out: Path | None, measure: str | None) -> None:
    """Draw the learning curves of one or several RUNs into one picture.

    Runs of one recipe become one line, the mean, with a band from the smallest to the largest. The file's name is
    printed.
    """
    from awac_tr.training.curves import plot_runs

    default = runs[0] / "curve.png" if len(runs) == 1 else Path("curves.png")
    echo(plot_runs(runs, out or default, measure=measure))
