"""``awac-tr data export``: a dataset of ours in the format of another tool."""

from __future__ import annotations

import click

from awac_tr.cli.data.shared import file_argument, json_option
from awac_tr.cli.support import echo_json, examples
from awac_tr.data.convert.formats import EXPORTS
from awac_tr.utils.terminal import echo

__all__ = ["command"]


@click.command(
    "export",
    epilog=examples(
        "awac-tr data export door-bc --format d4rl --out door-bc-d4rl.hdf5",
        "awac-tr data export door-bc --format minari --out awac/door/clone-v0",
        "awac-tr data export door-bc --format robomimic --out door-bc-robomimic.hdf5",
    ),
)
@file_argument
@click.option("--format", "format_name", type=click.Choice(EXPORTS), required=True, help="What to make.")
@click.option("--out", required=True, help="File to make; for minari an id, in $MINARI_DATASETS_PATH.")
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
@json_option
def command(*, file: str, format_name: str, out: str, force: bool, as_json: bool) -> None:
    """Write a dataset for another tool; importing it again gives back the same dataset.

    d4rl is also what d3rlpy, CORL and rlkit read. Minari recovers the environment from the export.
    """
    from awac_tr.data.convert.exporter import export_dataset
    from awac_tr.data.storage.paths import dataset_path

    report = export_dataset(dataset_path(file), out, format_name=format_name, overwrite=force)
    if as_json:
        echo_json(vars(report))
        return
    size = f"{report.episodes} episodes, {report.transitions:,} transitions"
    echo(f"{report.out}: {size}, as {report.format}")
