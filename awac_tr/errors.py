"""Errors that are the user's to mend: each says what is wrong, where, and what to do.

The command line prints them as one message and exits with code 2; every other exception is ours. Their words may come
from a stranger's file, so they are made plain here, once, whoever prints them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = [
    "AwacError",
    "CheckpointError",
    "DatasetError",
    "EnvError",
    "RecipeError",
    "UntrustedCodeError",
    "plain",
]

_LETTERS: Final = 4096
_DETAILS: Final = 100


def plain(text: object, *, keep: str = "", letters: int = _LETTERS) -> str:
    r"""Words that may be a stranger's, without what a terminal would obey: such letters become visible escapes.

    Args:
        text: one line; control characters, tabs, line breaks, marks that turn the direction of writing, and halves of
            surrogate pairs are escaped.
        keep: letters that stay as they are.
        letters: of a longer text the rest is counted and left out.

    >>> plain("a\x1b[31m name\nforged")
    'a\\x1b[31m name\\nforged'
    """
    words = str(text)
    if not words.isprintable():
        words = "".join(one if one.isprintable() or one in keep else ascii(one)[1:-1] for one in words)
    return words if len(words) <= letters else f"{words[:letters]}… ({len(words) - letters:,} more letters)"


class AwacError(Exception):
    """Base of all errors whose message is meant for the user.

    Args:
        message: what is wrong and where (file, key, episode, row); one line.
        hint: what to do about it, a sentence; may be empty.
        details: lines between the two, one for each of several mistakes.
    """

    def __init__(self, message: str, hint: str = "", *, details: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        lines = [f"  {plain(line)}" for line in details[:_DETAILS]]
        lines += [f"  ... and {len(details) - _DETAILS:,} more"] if len(details) > _DETAILS else []
        self.message = "\n".join([plain(message), *lines])
        self.hint = plain(hint)

    def __str__(self) -> str:
        """Message and hint, a line each."""
        return "\n".join(filter(None, [self.message, self.hint]))


class RecipeError(AwacError):
    """A recipe, an override or a dataset card cannot be used."""


class DatasetError(AwacError):
    """A dataset file cannot be read, trusted or written."""


class CheckpointError(AwacError):
    """A checkpoint cannot be read, or belongs to another task."""


class EnvError(AwacError):
    """An environment is unknown, or misbehaves."""


class UntrustedCodeError(EnvError):
    """A file names code that would have to be imported, or files to be opened, and nobody has said that they may be."""
