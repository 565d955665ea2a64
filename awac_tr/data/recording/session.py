"""A dataset that is being recorded while somebody else is in control: what is kept when things end in the middle."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Literal

from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import DatasetError

if TYPE_CHECKING:
    from awac_tr.envs.episode import Episode

__all__ = ["OnError", "Recording"]

_LOG = logging.getLogger(__name__)

OnError = Literal["keep", "drop"]
"""What becomes of the file when an exception ends the recording: the episodes so far are kept, or nothing is."""


class Recording:
    """Writes episodes as they come, and gives the file its name at the end. Ctrl-C waits while a row is half written.

    Args:
        writer: of the file; nothing is done with it before.
        on_error: ``keep``: an exception (Ctrl-C too) leaves a file with the episodes so far; ``drop``: it leaves none.
    """

    def __init__(self, writer: DatasetWriter, on_error: OnError) -> None:
        if on_error not in ("keep", "drop"):
            raise DatasetError(f"on_error is {on_error!r}", "It is 'keep' or 'drop'.")
        self.content_hash = ""
        self._on_error = on_error
        self._writer = writer.__enter__()
        self._open = True

    @property
    def writer(self) -> DatasetWriter:
        """For counts and the path."""
        return self._writer

    def append(self, episode: Episode) -> None:
        """Add an episode.

        Raises:
            DatasetError: it does not fit, or the disk is full.
        """
        if not self._open:
            raise DatasetError(f"the recording of {self._writer.path} is over")
        with _undisturbed():
            self._writer.append(episode)

    def close(self, error: BaseException | None) -> None:
        """Finish the file, or drop it; a second call does nothing.

        Args:
            error: what ended the recording, None where it just ended.

        Raises:
            DatasetError: nothing was recorded, although nothing went wrong.
        """
        if not self._open:
            return
        self._open, writer = False, self._writer
        with _undisturbed():
            try:
                self._finish(error)
            finally:
                writer.abort()

    def _finish(self, error: BaseException | None) -> None:
        writer = self._writer
        said = f"{writer.episodes} episodes, {writer.transitions:,} transitions"
        if error is None:
            if not writer.episodes:
                raise DatasetError(f"nothing was recorded, so there is no {writer.path}")
            self.content_hash = writer.finish()
            _LOG.info("%s: %s", writer.path, said)
            return
        why = f"{type(error).__name__} ended the recording"
        if self._on_error == "drop" or not writer.episodes:
            _LOG.warning("%s: %s, not kept; %s", writer.path, said, why)
            return
        try:
            self.content_hash = writer.finish()
        except DatasetError as problem:  # what ended the recording may have been the disk, and is raised in any case
            _LOG.warning("%s: %s, lost: %s", writer.path, said, problem.message)
        else:
            _LOG.warning("%s: %s, kept; %s", writer.path, said, why)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    pressed: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: pressed.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            before(signal.SIGINT, pressed[0])
