"""Ctrl-C and SIGTERM: the first asks the loop to save and stop, the second stops at once."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Interruption", "StopRequested", "TrainingInterrupted"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopRequested(Exception):  # noqa: N818
    """Raised inside the loop, at a place where stopping is safe."""


class TrainingInterrupted(Exception):  # noqa: N818
    """A run was stopped by a signal after its checkpoint was written.

    Attributes:
        run: the run folder; ``awac-tr train --resume RUN`` goes on from there.
        signum: the signal's number; shells expect the exit code 128 + signum.
    """

    def __init__(self, run: Path, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}; go on with: awac-tr train --resume {run}")
        self.run = run
        self.signum = signum


class Interruption(AbstractContextManager["Interruption"]):
    """While entered, the first SIGINT or SIGTERM is only noted; from then on signals act as they did before.

    Outside the main thread Python forbids signal handlers, so nothing is noted there.

    Attributes:
        signum: the signal that came; None: none.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {signum: signal.signal(signum, self._note) for signum in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def check(self) -> None:
        """Raise :class:`StopRequested` when a signal has come."""
        if self.signum is not None:
            raise StopRequested

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self.signum = signum
        self._give_back()

    def _give_back(self) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}
