"""summary.json: last, best and mean-of-last-5 of every measure, the points that are quoted, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["LAST_K", "evaluations", "measure_names", "summarize"]

LAST_K: Final = 5
_MEASURES: Final = ("success_any", "success_last", "success_share", "success_steps", "return", "length")

Row = Mapping[str, Any]


def measure_names(rows: Sequence[Row]) -> list[str]:
    """Measures that the evaluations of a run have."""
    return [name for name in _MEASURES if any(row.get(name) is not None for row in rows if row["event"] == "eval")]


def evaluations(rows: Sequence[Row]) -> list[Row]:
    """Evaluations of the learning policy, in order; the clone's is not among them."""
    return [row for row in rows if row["event"] == "eval" and row["phase"] != "clone"]


def summarize(
    rows: Sequence[Row], *, offline_updates: int, finished: bool, seconds: Mapping[str, float], wall: float
) -> dict[str, Any]:
    """Boil a run's metrics down.

    Args:
        rows: all rows of metrics.jsonl.
        offline_updates: where the border between the phases lies.
        finished: whether the run came to its end.
        seconds: wall time by part.
        wall: wall time of the whole; what no part accounts for is ``other``.

    Returns:
        ``measures``: for each measure ``last``, ``best`` (largest) with the point it was reached at, and
        ``mean_last_5`` over the last five evaluations; ``points``: the evaluations of the clone, at the start, after
        the offline phase, and the final one; ``counts``; ``wall_seconds`` by part.
    """
    evaluated = evaluations(rows)
    names = measure_names(rows)
    clone = [row for row in rows if row["event"] == "eval" and row["phase"] == "clone"]
    border = [row for row in evaluated if row["update"] == offline_updates and row["env_step"] == 0]
    points = {
        "clone": clone,
        "start": evaluated[:1],
        "after_offline": border,
        "final": evaluated[-1:] if finished else [],
    }
    last: Mapping[str, Any] = rows[-1] if rows else {}
    return {
        "finished": finished,
        "counts": {"update": last.get("update", 0), "env_step": last.get("env_step", 0), "evaluations": len(evaluated)},
        "measures": {name: _of_measure(evaluated, name) for name in measure_names(evaluated)},
        "points": {name: _point(found[-1], names) if found else None for name, found in points.items()},
        "wall_seconds": _times(seconds, wall),
    }


def _times(seconds: Mapping[str, float], wall: float) -> dict[str, float]:
    whole = {**seconds, "other": max(0.0, wall - sum(seconds.values())), "total": wall}
    return {part: round(value, 3) for part, value in whole.items()}


def _of_measure(evaluated: Sequence[Row], name: str) -> dict[str, Any]:
    evaluated = [row for row in evaluated if row.get(name) is not None]
    values = [row[name] for row in evaluated]
    best = max(range(len(values)), key=values.__getitem__)
    tail = values[-LAST_K:]
    return {
        "last": values[-1],
        "best": values[best],
        "best_at": {"update": evaluated[best]["update"], "env_step": evaluated[best]["env_step"]},
        f"mean_last_{LAST_K}": sum(tail) / len(tail),
    }


def _point(row: Row, names: Sequence[str]) -> dict[str, Any]:
    return {"update": row["update"], "env_step": row["env_step"], **{name: row[name] for name in names if name in row}}
