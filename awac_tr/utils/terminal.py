"""Where text leaves for a terminal: lines, JSON, live displays, and whatever else writes to stdout or stderr.

Texts of a stranger's file can hold what a terminal obeys. Nothing here relies on its callers to have looked: a line is
made plain when it is printed, and while a command runs both streams escape what a library or a traceback writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import click

from awac_tr.errors import plain

__all__ = ["echo", "plain_streams", "raw_stream"]

_ENDLESS: Final = sys.maxsize


class _PlainStream:
    """A text stream that escapes all control characters but tabs and line breaks."""

    def __init__(self, raw: IO[str]) -> None:
        self.raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # click tries bytes to learn what a stream takes
            raise TypeError(f"text is written here, not {type(text).__name__}")
        self.raw.write(plain(text, keep="\n\t", letters=_ENDLESS))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Let stdout and stderr escape control characters until the block ends, whoever writes to them."""
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    guards = {name: _PlainStream(stream) for name, stream in before.items() if stream is not None}
    for name, guard in guards.items():
        setattr(sys, name, guard)
    try:
        yield
    finally:
        for name, guard in guards.items():
            if getattr(sys, name) is guard:  # click replaces a stream that nobody reads any more
                setattr(sys, name, before[name])


def raw_stream(stream: IO[str]) -> IO[str]:
    """What is behind a stream of :func:`plain_streams`, for texts that are plain and control codes of ours."""
    return stream.raw if isinstance(stream, _PlainStream) else stream


def echo(*lines: object, label: str = "", colour: str | None = None, err: bool = False) -> None:
    """Print lines, each made plain; without any, an empty one.

    Args:
        *lines: one line each, whatever their letters.
        label: a word of ours before the first.
        colour: of the label, where the stream is a terminal that shows colours.
        err: print on stderr.
    """
    styled = click.style(label, fg=colour, dim=colour is None or None) if label and _has_colours() else label  # noqa: TID251
    click.echo(  # noqa: TID251
        styled + "\n".join(plain(line) for line in lines), file=raw_stream(sys.stderr if err else sys.stdout)
    )


def _has_colours() -> bool:
    return os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
