"""``awac-tr data``: commands that are imported only when they are named."""

from __future__ import annotations

from typing import Final

import click

from awac_tr.cli.support import LazyGroup, examples

__all__ = ["command"]

MODULES: Final = {
    name: f"awac_tr.cli.data.{home}"
    for name, home in (
        ("list", "info:list_command"),
        ("info", "info"),
        ("validate", "validate"),
        ("plot", "plot"),
        ("report", "plot:report_command"),
        ("replay", "replay"),
        ("import", "convert:import_command"),
        ("export", "convert:export_command"),
        ("merge", "combine:merge_command"),
        ("split", "combine:split_command"),
        ("filter", "combine:filter_command"),
        ("from-run", "combine:from_run_command"),
    )
}
"""Commands in the order of the help text."""


@click.group(
    "data",
    cls=LazyGroup,
    modules=MODULES,
    epilog=examples(
        "awac-tr data list",
        "awac-tr data info datasets/door-bc.hdf5",
        "awac-tr data validate datasets/door-bc.hdf5",
        "awac-tr data import door-v0_demos.pickle --env door-binary-v0 --out datasets/door-human.hdf5",
    ),
)
def command() -> None:
    """Look at datasets, check them, import those of others.

    FILE is a path, or the name of a dataset in the folder of datasets ($AWAC_TR_DATA, else ./datasets).
    """
