"""The small language of ``--where``: ``return > -150 and success_any and 50 <= length < 200``.

Python's comparisons and arithmetic over the columns of a table of episodes, and nothing else: no calls, no attributes,
no subscripts. The text is parsed, every node is checked against the few that are known, and arrays do the rest.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from awac_tr.errors import DatasetError
from awac_tr.utils.suggest import did_you_mean

__all__ = ["evaluate_where"]

Array = np.ndarray[Any, Any]

_MAX_LENGTH: Final = 2000
_WORD: Final = re.compile(r"""("[^"]*"|'[^']*')|\breturn\b""")
_RETURN: Final = "return_"

_COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


def evaluate_where(text: str, columns: Mapping[str, Array]) -> Array:
    """Which episodes an expression is true of.

    Args:
        text: columns, numbers and 'text'; ``< <= > >= == !=``, chained as in Python; ``in (a, b)``, ``not in``;
            ``and or not``; ``+ - * / %`` and parentheses. A column alone is true where it is not 0.
        columns: name -> [E] numbers, bools or text.

    Returns:
        [E] bool.

    Raises:
        DatasetError: it cannot be understood; the message names the place or the unknown column.

    Example:
        >>> columns = {"return": np.array([-3.0, -1.0, 0.0]), "source": np.array(["a", "b", "b"])}
        >>> evaluate_where("return > -2 and source == 'b'", columns).tolist()
        [False, True, True]
        >>> evaluate_where("-2 < return < 0 or source in ('a',)", columns).tolist()
        [True, True, False]
    """
    if len(text) > _MAX_LENGTH:
        raise DatasetError(f"an expression of {len(text):,} characters; {_MAX_LENGTH:,} are the limit")
    # a keyword of Python, and the word everybody uses
    readable = _WORD.sub(lambda match: match[1] or _RETURN, text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(readable.strip(), mode="eval")
        found = _Evaluation(text, columns).truth(tree.body)
    except SyntaxError as error:
        raise DatasetError(f"{text!r} is no expression: {error.msg}", _HINT) from error
    except (RecursionError, MemoryError, OverflowError, ValueError) as error:
        raise DatasetError(f"{text!r} cannot be understood: {str(error) or 'nested too deeply'}", _HINT) from error
    rows = len(next(iter(columns.values())))
    return np.broadcast_to(found, (rows,)).copy()


_HINT: Final = "For example: return > -150 and success_any and length >= 50"


class _Evaluation:
    """One expression over one table."""

    def __init__(self, text: str, columns: Mapping[str, Array]) -> None:
        self._text, self._columns = text, columns

    def truth(self, node: ast.expr) -> Array:
        """The node as a condition, bool."""
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(value) for value in node.values]
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return np.asarray(join.reduce(np.broadcast_arrays(*parts)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.truth(node.operand)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        value = self._value(node)
        if value.dtype.kind not in "fiub":
            raise self._refuse(f"{ast.unparse(node)} is text, not a condition")
        return np.asarray(value != 0)

    def _compare(self, node: ast.Compare) -> Array:
        found: Array = np.ones((), dtype=np.bool_)
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            found = found & self._pair(op, left, right)
            left = right
        return np.asarray(found)

    def _pair(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Array:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set):
                raise self._refuse("'in' wants a list: seed in (1, 2, 3)")
            tests = [self._pair(ast.Eq(), left, item) for item in right.elts]
            found = np.logical_or.reduce(np.broadcast_arrays(*tests)) if tests else np.zeros((), dtype=np.bool_)
            return ~found if isinstance(op, ast.NotIn) else np.asarray(found)
        if type(op) not in _COMPARE:
            raise self._refuse("'is' compares nothing here, write ==")
        first, second = self._value(left), self._value(right)
        if (first.dtype.kind == "U") != (second.dtype.kind == "U"):
            raise self._refuse(f"{ast.unparse(left)} and {ast.unparse(right)}: text and numbers cannot be compared")
        return np.asarray(_COMPARE[type(op)](first, second))

    def _value(self, node: ast.expr) -> Array:
        if isinstance(node, ast.Name):
            return self._column(node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
            return np.asarray(node.value if isinstance(node.value, bool | str) else float(node.value))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self._number(node.operand)
            return np.asarray(-value if isinstance(node.op, ast.USub) else value)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            with np.errstate(all="ignore"):  # 0 / 0 is nan, which no comparison is true of
                return np.asarray(_BINARY[type(node.op)](self._number(node.left), self._number(node.right)))
        if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
            return self.truth(node)
        raise self._refuse(f"{ast.unparse(node)!r} is not understood")

    def _number(self, node: ast.expr) -> Array:
        value = self._value(node)
        if value.dtype.kind == "U":
            raise self._refuse(f"{ast.unparse(node)} is text, and cannot be reckoned with")
        return np.asarray(value, dtype=np.float64)

    def _column(self, name: str) -> Array:
        name = "return" if name == _RETURN else name
        if name not in self._columns:
            known = ", ".join(self._columns)
            raise self._refuse(f"no column {name!r}{did_you_mean(name, self._columns)} There are: {known}")
        return self._columns[name]

    def _refuse(self, reason: str) -> DatasetError:
        return DatasetError(f"{self._text!r}: {reason.replace(_RETURN, 'return')}", _HINT)
