"""Episodes that are there more than once, in a file or over several."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from awac_tr.data.format.findings import Finding
from awac_tr.data.format.hashing import canonical
from awac_tr.data.validation.base import Array, Block

__all__ = ["DuplicatesCheck"]

_DIGEST: Final = 16


class DuplicatesCheck:
    """Hashes observations and actions of every episode; 16 bytes an episode are kept, ``copies`` are those seen before.

    Args:
        known: episode hash -> (file, episode) where it was first seen; shared by several files.
        name: of this file, for the message.
    """

    def __init__(self, known: dict[bytes, tuple[str, int]] | None = None, name: str = "") -> None:
        self._known: dict[bytes, tuple[str, int]] = {} if known is None else known
        self._name = name
        self._digest = hashlib.blake2b(digest_size=_DIGEST)
        self._open = False
        self._episode = self._row = self._first_row = 0
        self._originals: list[tuple[str, int]] = []
        self._rows: list[int] = []
        self.copies: list[int] = []

    def feed(self, block: Block) -> None:
        """Look at the next block."""
        states, actions = canonical(block.new("observations")), canonical(block.new("actions"))
        start = 0
        for end in np.flatnonzero(block.ends[block.lead :]):
            self._take(states[start : end + 1], actions[start : end + 1])
            self._close()
            start = int(end) + 1
        self._take(states[start:], actions[start:])

    def _take(self, states: Array, actions: Array) -> None:
        if len(states):
            # Row by row beside each other, so that a block border within an episode changes nothing.
            rows = np.concatenate([states.view(np.uint8), actions.view(np.uint8)], axis=1)
            self._digest.update(rows.data)
            self._row += len(states)
            self._open = True

    def _close(self) -> None:
        key = self._digest.digest()
        first = self._known.setdefault(key, (self._name, self._episode))
        if first != (self._name, self._episode):
            self.copies.append(self._episode)
            self._originals.append(first)
            self._rows.append(self._first_row)
        self._digest, self._open = hashlib.blake2b(digest_size=_DIGEST), False
        self._episode += 1
        self._first_row = self._row

    def findings(self) -> list[Finding]:
        """Everything found, once the last block was fed."""
        if self._open:
            self._close()
        if not self.copies:
            return []
        file, episode = self._originals[0]
        there = f"episode {episode}" + (f" of {file}" if file != self._name else "")
        count = len(self.copies)
        message = (
            f"{count:,} episode{'s' if count > 1 else ''} seen before: episode {self.copies[0]} is the same as {there}"
        )
        return [Finding("warning", "duplicate", "episodes", message, rows=tuple(self._rows[:5]), count=count)]
