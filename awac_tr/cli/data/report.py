"""``awac-tr data report``: one page of HTML about datasets."""

from __future__ import annotations

from pathlib import Path

import click

from awac_tr.cli.data.shared import json_option
from awac_tr.cli.support import echo_json, examples
from awac_tr.utils.terminal import echo

__all__ = ["command"]


@click.command(
    "report",
    epilog=examples(
        "awac-tr data report door-bc --out door-bc.html",
        "awac-tr data report door-demos door-bc --against door-demos --out door.html",
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Page to write, .html  [default: the dataset's name and .html, or datasets.html, here].",
)
@click.option("--against", metavar="OTHER", help="Dataset to compare states with: how much each covers of the other.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the states that are drawn from a file.")
@json_option
def command(*, files: tuple[str, ...], out: Path | None, against: str | None, seed: int, as_json: bool) -> None:
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
