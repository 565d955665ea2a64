"""What the commands share: lazy groups, results and tables on stdout, notes and errors on stderr, exit codes."""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from awac_tr.errors import AwacError, plain
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from awac_tr.utils.console import PlainConsole

__all__ = [
    "EXIT_FAULT",
    "EXIT_INTERRUPTED",
    "EXIT_USER",
    "LazyGroup",
    "UserError",
    "console",
    "echo_json",
    "echo_result",
    "echo_table",
    "examples",
    "notes_on_stderr",
    "orderly_termination",
    "progress_bar",
]

EXIT_FAULT: Final = 1
EXIT_USER: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143

_WIDE: Final = 200
"""Columns where nobody looks at the width of a screen: lines stay whole for grep."""


class UserError(click.ClickException):
    """A mistake the user can mend: one message on stderr, no traceback, exit code 2."""

    exit_code = EXIT_USER

    @classmethod
    def of(cls, error: AwacError) -> UserError:
        """Wrap an error of the library."""
        return cls(str(error))


class LazyGroup(click.Group):
    """A group of commands that are imported only when they are named, so that help appears at once.

    Args:
        modules: name of a command -> its module, in the order of the help text; ``MODULE:NAME`` where a module has
            several, else it is ``command`` there.
    """

    def __init__(self, *args: Any, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules = dict(modules)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order of the help text."""
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of that name; None where there is none."""
        if cmd_name not in self.modules:
            return None
        module, _, attribute = self.modules[cmd_name].partition(":")
        command = getattr(import_module(module), attribute or "command")
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with all names, imported or not, as candidates for the closest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(args[0], possibilities=self.modules, ctx=ctx) from error


def examples(*lines: str) -> str:
    """The epilog of a command: whole command lines as typed, kept line by line by click."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def echo_json(value: object) -> None:
    """Print a result as JSON on stdout; numbers JSON cannot hold (nan, inf) become null."""
    click.echo(json.dumps(_finite(value), indent=2, default=_plain, allow_nan=False))  # noqa: TID251  (all ASCII)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _plain(value: Any) -> object:
    """Arrays and numpy scalars by their own ``tolist``; anything else (paths, versions) by its text."""
    return _finite(value.tolist()) if hasattr(value, "tolist") else str(value)


def echo_result(result: object, *lines: object, as_json: bool) -> None:
    """Print a result on stdout, as JSON or in words."""
    if as_json:
        echo_json(result)
    else:
        echo(*lines)


def console() -> PlainConsole:
    """Where tables and trees go: stdout."""
    from awac_tr.utils.console import PlainConsole

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


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on stderr, where that is a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from awac_tr.utils.console import PlainConsole

    stderr = PlainConsole(err=True)
    text, times = TextColumn("{task.description}"), (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (text, BarColumn(), MofNCompleteColumn(), *times)
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        yield bar, bar.add_task(what, total=total)


class _EchoHandler(logging.Handler):
    """Log records as plain lines on whatever ``sys.stderr`` is now, so that a live display can lift them above."""

    def emit(self, record: logging.LogRecord) -> None:
        label, colour = "", None
        if record.levelno >= logging.WARNING:
            label, colour = f"{record.levelname.lower()}: ", "yellow" if record.levelno < logging.ERROR else "red"
        elif record.levelno < logging.INFO:
            label = f"{record.name}: "
        with suppress(OSError):  # nobody reads notes any more: results may still be wanted
            echo(self.format(record), label=label, colour=colour, err=True)


@contextmanager
def notes_on_stderr(*, verbose: bool) -> Iterator[None]:
    """Show what the library logs while a command runs: notes and warnings, with ``verbose`` also details."""
    logger, handler = logging.getLogger("awac_tr"), _EchoHandler()
    level = logger.level
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def orderly_termination() -> Iterator[None]:
    """Let SIGTERM unwind the stack like any exception, so that half-written files are removed; exit code 143."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(EXIT_TERMINATED)
