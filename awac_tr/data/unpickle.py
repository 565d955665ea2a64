"""Reading pickles of strangers: plain containers, numbers, text and numpy arrays; nothing is ever run.

A pickle is a program. Two gates stand before it. First its instructions are read without being carried out: those that
only other objects need are refused, and so are more of them than data would take. Then the standard unpickler runs with
our own stand-ins in place of numpy's functions, so that not even numpy's are called with a stranger's arguments; every
other name it asks for is refused.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from awac_tr.errors import DatasetError

__all__ = ["PickledArray", "load_pickle"]

_MAX_BYTES: Final = 1 << 31
_MAX_INSTRUCTIONS: Final = 1_000_000
"""The 25 human door demonstrations take 4,100."""

_ALLOWED: Final = frozenset(
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE "  # noqa: SIM905  (a list of 45 lines)
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 "
    "EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS "
    "GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD".split()
)
_NUMBER_TYPE: Final = re.compile(r"[<>|=]?([fiu][1248]|b1)")
_HINT: Final = "Ask for the same arrays in an HDF5 or npz file."


def load_pickle(path: str | Path) -> Any:
    """Read a pickle that holds plain data and numpy arrays, as Python 2 and 3 write them.

    Args:
        path: the file, at most 2 GiB.

    Returns:
        Dicts, lists, tuples, text, bytes and numbers as they are; numpy arrays and scalars as :class:`PickledArray`.

    Raises:
        DatasetError: the file asks for anything else (which is named, and not run), is damaged, or is too large.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"there is no file {path}")
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise DatasetError(f"{path} has {size:,} bytes; pickles are read up to {_MAX_BYTES:,}", _HINT)
    try:
        data = path.read_bytes()
        _read_instructions(data)
        return _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except _RefusedError as error:
        raise DatasetError(f"{path} is refused: {error}; nothing of it was run", _HINT) from error
    except RecursionError as error:
        raise DatasetError(f"{path} is refused: nested too deeply", _HINT) from error
    except MemoryError as error:
        raise DatasetError(f"{path} does not fit into memory", _HINT) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise DatasetError(f"{path} cannot be read as a pickle: {error}", _HINT) from error


class _RefusedError(Exception):
    """Something a pickle of arrays does not need."""


def _read_instructions(data: bytes) -> None:
    """Walk over the instructions without carrying them out; lengths are checked against the data on the way."""
    for count, (instruction, argument, _) in enumerate(pickletools.genops(data)):
        if instruction.name not in _ALLOWED:
            raise _RefusedError(f"it holds the instruction {instruction.name}, which arrays do not need")
        if count >= _MAX_INSTRUCTIONS:
            raise _RefusedError(f"it has more than {_MAX_INSTRUCTIONS:,} instructions")
        # The unpickler makes room for every slot up to the one named, so one number could ask for all memory.
        if instruction.name in ("PUT", "BINPUT", "LONG_BINPUT") and (argument or 0) > count:
            raise _RefusedError(f"it asks for memory slot {argument} after {count} instructions")


class PickledArray:
    """A numpy array or scalar as it stands in a pickle, made from its bytes by us.

    Attributes:
        array: the values; of shape () for a scalar.
    """

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: np.ndarray[Any, Any] = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.array = _from_bytes(raw, dtype, shape, "F" if fortran else "C")


class _Type:
    """Stand-in for a numpy dtype; numbers and bools only."""

    __slots__ = ("name",)

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or not _NUMBER_TYPE.fullmatch(name):
            raise _RefusedError(f"it holds an array of type {name!r}, not of numbers")
        self.name = name

    def __setstate__(self, state: Any) -> None:
        _, order, *fields = state
        if order not in ("<", ">", "|", "=") or any(field is not None for field in fields[:3]):
            raise _RefusedError("it holds an array of a composite type")
        self.name = order + self.name.lstrip("<>|=")


def _from_bytes(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    """An array over bytes, after everything about it has been checked.

    Args:
        raw: bytes, or the text that Python 2's bytes become under latin1.
        dtype: a :class:`_Type`.
        shape: tuple of sizes.
        order: ``C`` or ``F``.
    """
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    sizes_fit = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    if (
        not sizes_fit
        or not isinstance(raw, bytes | bytearray)
        or not isinstance(dtype, _Type)
        or order not in ("C", "F")
    ):
        raise _RefusedError("it holds something that only looks like an array")
    kind = np.dtype(dtype.name)
    if math.prod(shape) * kind.itemsize != len(raw):
        raise _RefusedError(f"it holds an array of shape {shape} with {len(raw)} bytes")
    return np.frombuffer(raw, dtype=kind).reshape(shape, order=order)


class _StandIn:
    """What a pickle gets when it names one of numpy's functions: ours, and closed to changes."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, _: Any) -> NoReturn:
        raise _RefusedError("it tries to change a function")


def _empty_array(*_: Any) -> PickledArray:
    """What numpy calls ``_reconstruct``: the state that follows says what the array is."""
    return PickledArray()


def _scalar(dtype: Any, raw: Any) -> PickledArray:
    """What numpy calls ``scalar``."""
    return _buffer(raw, dtype, (), "C")


def _buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    """What numpy calls ``_frombuffer``, in protocol 5."""
    found = PickledArray()
    found.array = _from_bytes(raw, dtype, shape, order)
    return found


def _latin1(text: Any, encoding: Any) -> bytes:
    """``_codecs.encode``, by which protocols up to 2 store bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("it encodes something other than bytes")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    """``bytes()``, by which protocols up to 2 store bytes where there are none."""
    if arguments:
        raise _RefusedError("it makes bytes of something")
    return b""


def _no_call(*_: Any) -> NoReturn:
    raise _RefusedError("it calls numpy.ndarray itself")


_STAND_INS: Final[dict[str, Callable[..., Any]]] = {
    "numpy.ndarray": _no_call,
    "numpy.dtype": _Type,
    "numpy._core.multiarray._reconstruct": _empty_array,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _buffer,
    "_codecs.encode": _latin1,
    "builtins.bytes": _no_bytes,
    "__builtin__.bytes": _no_bytes,
}
"""All that may be named; numpy 1 says ``numpy.core`` for ``numpy._core``."""


class _Unpickler(pickle.Unpickler):
    """The standard unpickler, with a closed list of names."""

    def find_class(self, module: str, name: str) -> Any:
        """Our stand-in for a name, or a refusal."""
        found = _STAND_INS.get(f"{module}.{name}".replace("numpy.core.", "numpy._core.", 1))
        if found is None:
            raise _RefusedError(f"it asks for {module}.{name}")
        return _StandIn(found)
