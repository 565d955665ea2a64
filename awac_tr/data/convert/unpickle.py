"""Reading pickles of strangers: plain containers, numbers, text and numpy arrays; nothing is ever run.

Names of numpy's functions are answered by stand-ins of ours, so that not even numpy's are called with a stranger's
arguments; every other name is refused, see :mod:`awac_tr.utils.unpickle`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from awac_tr.errors import DatasetError
from awac_tr.utils.budget import PLAIN, Budget
from awac_tr.utils.unpickle import PlainUnpickler, RefusedError

__all__ = ["PickledArray", "load_pickle"]

_MAX_BYTES: Final = 1 << 31
_NUMBER_TYPE: Final = re.compile(r"[<>|=]?([fiu][1248]|b1)")
Encode = Callable[[str], bytes]
_HINT: Final = "Ask for the same arrays in an HDF5 or npz file."


def load_pickle(path: str | Path) -> Any:
    """Read a pickle that holds plain data and numpy arrays, as Python 2 and 3 write them.

    Args:
        path: the file, at most 2 GiB.

    Returns:
        Dicts, lists, tuples, text, bytes and numbers as they are; numpy arrays and scalars as :class:`PickledArray`.
        Written out in full it is no larger than :data:`~awac_tr.utils.budget.PLAIN` allows.

    Raises:
        DatasetError: the file asks for anything else (which is named, and not run), is damaged, is too large, or uses
            the same values again and again.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"there is no file {path}")
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise DatasetError(f"{path} has {size:,} bytes; pickles are read up to {_MAX_BYTES:,}", _HINT)
    try:
        found = _Unpickler(path.read_bytes(), Budget(path, PLAIN, DatasetError)).load()
    except DatasetError:
        raise
    except RefusedError as error:
        raise DatasetError(f"{path} is refused: {error}; nothing of it was run", _HINT) from error
    except RecursionError as error:
        raise DatasetError(f"{path} is refused: nested too deeply", _HINT) from error
    except MemoryError as error:
        raise DatasetError(f"{path} does not fit into memory", _HINT) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise DatasetError(f"{path} cannot be read as a pickle: {error}", _HINT) from error
    Budget(path, PLAIN, DatasetError).charge_written_out(found, "what its lists and dicts hold", _bytes_of)
    return found


def _bytes_of(value: object) -> int:
    return value.array.nbytes if isinstance(value, PickledArray) else 0


class PickledArray:
    """A numpy array or scalar (shape ()) as it stands in a pickle, made from its bytes by us."""

    __slots__ = ("_encode", "array")

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self.array: np.ndarray[Any, Any] = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        raw = self._encode(raw) if isinstance(raw, str) else raw
        self.array = _from_bytes(raw, dtype, shape, "F" if fortran else "C")


class _Type:
    """Stand-in for a numpy dtype; numbers and bools only."""

    __slots__ = ("name",)

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or not _NUMBER_TYPE.fullmatch(name):
            raise RefusedError(f"it holds an array of type {name!r}, not of numbers")
        self.name = name

    def __setstate__(self, state: Any) -> None:
        _, order, *fields = state
        if order not in ("<", ">", "|", "=") or any(field is not None for field in fields[:3]):
            raise RefusedError("it holds an array of a composite type")
        self.name = order + self.name.lstrip("<>|=")


def _from_bytes(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    """An array over bytes, after everything about it has been checked."""
    sizes_fit = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    if (
        not sizes_fit
        or not isinstance(raw, bytes | bytearray)
        or not isinstance(dtype, _Type)
        or order not in ("C", "F")
    ):
        raise RefusedError("it holds something that only looks like an array")
    kind = np.dtype(dtype.name)
    if math.prod(shape) * kind.itemsize != len(raw):
        raise RefusedError(f"it holds an array of shape {shape} with {len(raw)} bytes")
    return np.frombuffer(raw, dtype=kind).reshape(shape, order=order)


class _StandIn:
    """What a pickle gets when it names one of numpy's functions: ours, and closed to changes."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, _: Any) -> NoReturn:
        raise RefusedError("it tries to change a function")


def _no_bytes(*arguments: Any) -> bytes:
    """``bytes()``, by which protocols up to 2 store bytes where there are none."""
    if arguments:
        raise RefusedError("it makes bytes of something")
    return b""


def _no_call(*_: Any) -> NoReturn:
    raise RefusedError("it calls numpy.ndarray itself")


class _Unpickler(PlainUnpickler):
    """With stand-ins for all that arrays name; numpy 1 says ``numpy.core`` for ``numpy._core``."""

    def __init__(self, data: bytes, budget: Budget) -> None:
        super().__init__(data, encoding="latin1")
        self._budget = budget
        self._stand_ins: dict[str, Callable[..., Any]] = {
            "numpy.ndarray": _no_call,
            "numpy.dtype": _Type,
            "numpy._core.multiarray._reconstruct": lambda *_: PickledArray(self._encoded),
            "numpy._core.multiarray.scalar": lambda dtype, raw: self._array(raw, dtype, (), "C"),
            "numpy._core.numeric._frombuffer": self._array,
            "_codecs.encode": self._latin1,
            "builtins.bytes": _no_bytes,
            "__builtin__.bytes": _no_bytes,
        }

    def find_class(self, module: str, name: str) -> Any:
        """Our stand-in for a name, or a refusal."""
        found = self._stand_ins.get(f"{module}.{name}".replace("numpy.core.", "numpy._core.", 1))
        return self.refuse_name(module, name) if found is None else _StandIn(found)

    def _encoded(self, text: str) -> bytes:
        """The bytes that Python 2's became text of; charged, as one text can be used any number of times."""
        self._budget.charge(len(text), "its texts, encoded,")
        return text.encode("latin1")

    def _latin1(self, text: Any, encoding: Any) -> bytes:
        """``_codecs.encode``, by which protocols up to 2 store bytes."""
        if not isinstance(text, str) or encoding != "latin1":
            raise RefusedError("it encodes something other than bytes")
        return self._encoded(text)

    def _array(self, raw: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
        """What numpy calls ``_frombuffer``, in protocol 5."""
        found = PickledArray(self._encoded)
        found.array = _from_bytes(self._encoded(raw) if isinstance(raw, str) else raw, dtype, shape, order)
        return found
