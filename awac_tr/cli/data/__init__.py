"""``awac-tr data``: one file a command, imported only when it is named."""

from __future__ import annotations

from typing import Final

import click

from awac_tr.cli.lazy import LazyGroup
from awac_tr.cli.support import examples

__all__ = ["command"]

MODULES: Final = {
    name: f"awac_tr.cli.data.{file}"
    for name, file in (
        ("list", "list_"),
        ("info", "info"),
        ("validate", "validate"),
        ("plot", "plot"),
        ("report", "report"),
        ("replay", "replay"),
        ("import", "import_"),
        ("export", "export"),
        ("merge", "merge"),
        ("split", "split"),
        ("filter", "filter"),
        ("from-run", "from_run"),
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
