"""A signal that comes when it is wanted: a stand-in for the loop's own listener."""

from __future__ import annotations

from awac_tr.training.interrupt import Interruption

__all__ = ["Stopping"]


class Stopping(Interruption):
    """SIGINT, after so many safe places.

    Attributes:
        remaining: of the class, which the loop makes an object of itself.
    """

    remaining = 0

    def check(self) -> None:
        Stopping.remaining -= 1
        if Stopping.remaining == 0:
            self.signum = 2
        super().check()
