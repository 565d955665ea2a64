"""What one file of a stranger's may cost to read: so many bytes, as a multiple of its size, that every reader charges.

A few bytes can stand for any number: compressed arrays, one text used a thousand times, lists that hold themselves. A
reader therefore charges what it is about to make, in bytes written out in full, before it makes it. What costs time
and hardly any room (a value in a list, an array that is opened, an episode) has a price in bytes too, so the same
number bounds time, memory and what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from awac_tr.errors import AwacError

__all__ = ["ITEM_PRICE", "OBJECT_PRICE", "PACKED", "PLAIN", "Allowance", "Budget"]


@dataclass(frozen=True)
class Allowance:
    """Bytes that files of a kind may stand for: so many for each of theirs, and some to spare whatever their size.

    The hint says what to do about a sound file that needs more.
    """

    times: int
    spare: int
    hint: str


PLAIN: Final = Allowance(4, 1 << 20, "Ask for a file in which every value is stored for itself.")
"""Files without compression: pickles, checkpoints."""

PACKED: Final = Allowance(40, 64 << 20, "Write it out without compression first (HDF5: h5repack -f NONE FILE NEW).")
"""Files whose arrays may be compressed: HDF5, Parquet, zip."""

ITEM_PRICE: Final = 4
"""Bytes that a value in a list or dict counts, beside its own."""

OBJECT_PRICE: Final = 512
"""Bytes that opening an array, reading an attribute or storing an episode counts, beside its content."""


class Budget:
    """What is left of the cost that a file or folder of this size (None: that of the file) may have."""

    def __init__(
        self, path: Path | str, allowance: Allowance, error: type[AwacError], *, size: int | None = None
    ) -> None:
        self._path, self._allowance, self._error = path, allowance, error
        self._size = Path(path).stat().st_size if size is None else size
        self._limit = self._left = allowance.times * self._size + allowance.spare

    def charge(self, amount: int, what: str) -> None:
        """Take the bytes that are about to be made from what is left.

        Raises:
            AwacError: of the class given; more than is left.
        """
        self._left -= amount
        if self._left < 0:
            rule = f"{self._allowance.times} times its size and {self._allowance.spare >> 20} MiB"
            message = f"{self._path} is refused: {what} would stand for more than {self._limit:,} bytes ({rule})"
            raise self._error(message, self._allowance.hint)

    def charge_written_out(self, value: object, what: str, size_of: Callable[[object], int] = lambda _: 0) -> None:
        """Charge plain data as if every value in it were written down where it stands.

        What is used in many places counts in each, so that no walk, copy or print of the value can cost more; a list
        that holds itself has no end and is refused.

        Args:
            value: dicts, lists and tuples of anything.
            what: for the message.
            size_of: bytes of a value that is no text and no container.
        """
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str | bytes | bytearray):
                self.charge(len(one), what)
            elif isinstance(one, Mapping):
                self.charge(2 * ITEM_PRICE * len(one), what)
                waiting += [*one, *one.values()]
            elif isinstance(one, list | tuple):
                self.charge(ITEM_PRICE * len(one), what)
                waiting += one
            else:
                self.charge(size_of(one), what)
