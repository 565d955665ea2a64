"""What the commands on datasets share: the argument, the option, tables and sizes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click

__all__ = ["echo_table", "file_argument", "json_option", "readable_bytes"]

_WIDE: Final = 200

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
file_argument = click.argument("file", metavar="FILE")


def readable_bytes(count: float) -> str:
    """For example 12.3 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004  (the next unit begins)
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def echo_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; columns without a name get no header."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", show_header=any(columns), box=None)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # Where nobody looks at the width of a screen, lines stay whole for grep.
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)
