"""Mistakes in a recipe or card, collected first and told together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from awac_tr.errors import RecipeError

__all__ = ["Problem", "problems_error"]


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        key: dotted key, for example ``algorithm.tau``; empty when the file as a whole is meant.
        where: ``line 3``, ``(override)``, or empty where there is no line to point at.
        text: what was expected, what was found, the closest known name.
    """

    key: str
    where: str
    text: str


def problems_error(title: str, problems: Sequence[Problem], hint: str = "") -> RecipeError:
    """One error that lists all problems in aligned columns.

    Args:
        title: what has the problems, for example ``recipe recipes/door.yaml``.
        problems: at least one.
        hint: what to do next.

    >>> print(problems_error("recipe a.yaml", [Problem("seeed", "line 2", "unknown key")]))
    recipe a.yaml has 1 problem
      seeed  line 2  unknown key
    """
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    key_width = max(len(p.key) for p in problems)
    where_width = max(len(p.where) for p in problems)
    lines = []
    for problem in problems:
        cells = [problem.key.ljust(key_width)] if key_width else []
        cells += [problem.where.ljust(where_width)] if where_width else []
        lines.append("  ".join([*cells, problem.text]))
    return RecipeError(f"{title} has {count}", hint, details=lines)
