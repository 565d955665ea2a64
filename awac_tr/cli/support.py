"""What the commands share: notes and errors on stderr, exit codes, examples under the help text."""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, NoReturn

import click

from awac_tr.errors import AwacError
from awac_tr.utils.terminal import echo

__all__ = [
    "EXIT_FAULT",
    "EXIT_INTERRUPTED",
    "EXIT_USER",
    "TRUST_HELP",
    "UserError",
    "echo_json",
    "examples",
    "notes_on_stderr",
]

EXIT_FAULT: Final = 1
EXIT_USER: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143

TRUST_HELP: Final = "Use the code and files that the file names, or, for an SB3 .zip, run what stands in it."


class UserError(click.ClickException):
    """A mistake the user can mend: one message on stderr, no traceback, exit code 2."""

    exit_code = EXIT_USER

    @classmethod
    def of(cls, error: AwacError) -> UserError:
        """Wrap an error of the library."""
        return cls(str(error))


def examples(*lines: str) -> str:
    r"""The epilog of a command: its examples, kept line by line by click.

    Args:
        *lines: whole command lines as typed, each starting with ``awac-tr``.

    Returns:
        Text for the ``epilog`` argument of ``click.command``.

    Example:
        >>> examples("awac-tr recipes list")
        '\x08\nExamples:\n  awac-tr recipes list'
    """
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
