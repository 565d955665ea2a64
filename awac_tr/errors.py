"""Errors that are the user's to mend: each says what is wrong, where, and what to do.

The command line prints them as one message and exits with code 2; every other exception is ours.
"""

from __future__ import annotations

__all__ = ["AwacError", "CheckpointError", "DatasetError", "EnvError", "RecipeError", "UntrustedCodeError"]


class AwacError(Exception):
    """Base of all errors whose message is meant for the user.

    Args:
        message: what is wrong and where (file, key, episode, row).
        hint: what to do about it, a sentence; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message}\n{hint}")
        self.message = message
        self.hint = hint


class RecipeError(AwacError):
    """A recipe, an override or a dataset card cannot be used."""


class DatasetError(AwacError):
    """A dataset file cannot be read, trusted or written."""


class CheckpointError(AwacError):
    """A checkpoint cannot be read, or belongs to another task."""


class EnvError(AwacError):
    """An environment is unknown, or misbehaves."""


class UntrustedCodeError(EnvError):
    """A file names code that would have to be imported, and nobody has said that it may be."""
