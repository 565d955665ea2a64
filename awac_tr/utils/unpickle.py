"""Pickles of strangers, carried out by us: plain containers, text and numbers, and what a subclass gives for names.

A pickle is a program. The standard library's unpickler in Python carries it out one instruction at a time from a table,
of which only the lines are left here that plain data needs. Every name it asks for goes to :meth:`find_class`, which
refuses all that a subclass does not know.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, Final, NoReturn

__all__ = ["PlainUnpickler", "RefusedError"]

_MAX_INSTRUCTIONS: Final = 1_000_000
"""The 25 human door demonstrations take 4,100."""

_ALLOWED: Final = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE "  # noqa: SIM905  (a list of 45 lines)
    "INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 "
    "EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS "
    "GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD".split()
)
_KEYS: Final = (str, bytes, int, float, bool, type(None))

Load = Callable[[Any], None]


class RefusedError(Exception):
    """Something that plain data does not need."""


class _Instructions:
    """The table of instructions; counts those carried out, and refuses what is not in it."""

    def __init__(self, known: dict[int, Load]) -> None:
        self._known, self._left = known, _MAX_INSTRUCTIONS

    def __getitem__(self, code: int) -> Load:
        self._left -= 1
        if self._left < 0:
            raise RefusedError(f"it has more than {_MAX_INSTRUCTIONS:,} instructions")
        if code not in self._known:
            raise RefusedError(f"it holds the instruction {_NAMES.get(code, code)}, which plain data does not need")
        return self._known[code]


def _with_plain_keys(load: Load, *, alone: bool = False) -> Load:
    """An instruction that fills a dict; hashing a tuple of tuples of tuples could take for ever."""

    def checked(unpickler: Any) -> None:
        keys = unpickler.stack[-2:-1] if alone else unpickler.stack[::2]
        odd = next((key for key in keys if type(key) not in _KEYS), None)
        if odd is not None:
            raise RefusedError(f"it holds a dict with a key of type {type(odd).__name__}, not text or a number")
        load(unpickler)

    return checked


def _load_bytearray(unpickler: Any) -> None:
    """The library's own makes room for as many bytes as the pickle claims."""
    size = int.from_bytes(unpickler.read(8), "little")
    unpickler.append(bytearray(unpickler.read(size)))


_NAMES: Final = {sign[0]: name for name, sign in vars(pickle).items() if isinstance(sign, bytes) and len(sign) == 1}
_LIBRARY: Final[dict[int, Load]] = pickle._Unpickler.dispatch  # noqa: SLF001
_TABLE: Final[dict[int, Load]] = {
    **{code: load for code, load in _LIBRARY.items() if _NAMES[code] in _ALLOWED},
    pickle.SETITEM[0]: _with_plain_keys(_LIBRARY[pickle.SETITEM[0]], alone=True),
    pickle.SETITEMS[0]: _with_plain_keys(_LIBRARY[pickle.SETITEMS[0]]),
    pickle.DICT[0]: _with_plain_keys(_LIBRARY[pickle.DICT[0]]),
    pickle.BYTEARRAY8[0]: _load_bytearray,
}


class PlainUnpickler(pickle._Unpickler):  # noqa: SLF001  (the C version cannot be watched)
    """Reads one pickle; with ``persistent``, the instruction for objects outside of it is allowed."""

    def __init__(self, data: bytes, *, encoding: str = "ASCII", persistent: bool = False) -> None:
        super().__init__(io.BytesIO(data), encoding=encoding)
        outside = {pickle.BINPERSID[0]: _LIBRARY[pickle.BINPERSID[0]]} if persistent else {}
        self.dispatch = _Instructions(_TABLE | outside)  # type: ignore[assignment,misc]

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name; here nothing does.

        Raises:
            RefusedError: always.
        """
        self.refuse_name(module, name)

    @staticmethod
    def refuse_name(module: str, name: str) -> NoReturn:
        """Say which name was asked for."""
        raise RefusedError(f"it asks for {module}.{name}")
