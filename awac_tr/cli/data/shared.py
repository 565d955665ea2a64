"""What the commands on datasets share: the argument, the option, tables and sizes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from awac_tr.data.statistics.text import readable_bytes
from awac_tr.errors import plain

if TYPE_CHECKING:
    from awac_tr.utils.console import PlainConsole

__all__ = ["console", "echo_table", "file_argument", "json_option", "readable_bytes"]

_WIDE: Final = 200

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
file_argument = click.argument("file", metavar="FILE")


def console() -> PlainConsole:
    """Where tables and trees go: stdout."""
    from awac_tr.utils.console import PlainConsole

    # Where nobody looks at the width of a screen, lines stay whole for grep.
    return PlainConsole(width=None if sys.stdout.isatty() else _WIDE)


def echo_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; columns without a name get no header."""
    from rich.table import Table
    from rich.text import Text

    heading = Text(plain(title), style="bold")
    table = Table(title=heading, title_justify="left", show_header=any(columns), box=None)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    console().print(table)
