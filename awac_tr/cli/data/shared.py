"""What the commands on datasets share: the argument, the option, tables and sizes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from awac_tr.data.words import readable_bytes

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "echo_table", "file_argument", "json_option", "plain", "readable_bytes"]

_WIDE: Final = 200

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
file_argument = click.argument("file", metavar="FILE")


def plain(text: str) -> str:
    r"""Words of a stranger's file without what a terminal would obey: control characters become visible escapes.

    >>> plain("a\x1b[31m name")
    'a\\x1b[31m name'
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def console() -> Console:
    """Where tables and trees go: stdout."""
    from rich.console import Console

    # Where nobody looks at the width of a screen, lines stay whole for grep.
    return Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)


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
