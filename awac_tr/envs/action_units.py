"""Units of actions: what the numbers mean in a dataset, for a policy and in an environment; what converts, and how.

Actions are *raw*, in the units of the environment's own action space, or *scaled* (recipe key ``env.rescale_actions``):
-1 and 1 stand for its bounds. Two sides with raw units of the same kind convert into each other exactly; whether they
are of the same kind is for the caller to know, who has both descriptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from awac_tr.errors import EnvError

__all__ = [
    "ActionUnits",
    "Bounds",
    "Clipper",
    "Conversion",
    "bounds_text",
    "conversion",
    "require_bounds",
    "same_bounds",
    "stretched",
]

Array = NDArray[Any]
Bounds = tuple[ArrayLike, ArrayLike]

_SAME: Final = 1e-4
"""Relative difference up to which bounds are the same: some files tell them in a few decimal digits."""
_LIMIT: Final = 0.2
"""Of more rows far outside the bounds, or more entries outside at all, clipping would make other data."""

_ENOUGH: Final = 20


@dataclass(frozen=True)
class ActionUnits:
    """What the numbers of actions mean.

    Args:
        raw: lower and upper bounds [a] of the environment's own action space; None: not known.
        scaled: actions are in [-1, 1], which stands for ``raw``; False: they are raw.
    """

    raw: Bounds | None
    scaled: bool = False

    def same_raw(self, other: ActionUnits) -> bool:
        """Both are known to be of action spaces with the same bounds."""
        return self.raw is not None and other.raw is not None and same_bounds(self.raw, other.raw)

    def __str__(self) -> str:
        raw = "unknown bounds" if self.raw is None else bounds_text(*self.raw)
        return f"-1 to 1, which stands for {raw} (rescale_actions)" if self.scaled else raw


@dataclass(frozen=True)
class Conversion:
    """Actions of one side in the units of another.

    Args:
        stretch: bounds that [-1, 1] is stretched to first; None: the actions are raw.
        shrink: bounds that become [-1, 1] in the end; None: the actions stay raw.
    """

    stretch: Bounds | None
    shrink: Bounds | None

    def __call__(self, actions: Array) -> NDArray[np.float32]:
        """Actions [..., a] converted, not clipped."""
        if self.stretch is not None:
            actions = stretched(actions, *self.stretch)
        if self.shrink is not None:
            low, high = (np.asarray(bound, np.float64) for bound in self.shrink)
            width = np.where(high > low, high - low, 1)
            actions = np.where(high > low, 2 * (actions - low) / width - 1, 0)
        return actions.astype(np.float32)

    def __str__(self) -> str:
        if self.stretch is None or self.shrink is None:
            return f"raw {bounds_text(*self.shrink)} to -1 to 1" if self.shrink else f"-1 to 1 to raw {self._raw}"
        return f"-1 to 1 of {self._raw} to -1 to 1 of {bounds_text(*self.shrink)}"

    @property
    def _raw(self) -> str:
        return bounds_text(*self.stretch) if self.stretch is not None else ""


def conversion(source: ActionUnits, target: ActionUnits) -> Conversion | None:
    """How actions in the units of one side become actions of the other, raw units being of the same kind.

    Returns:
        The conversion; None: they are the same as they stand.

    Raises:
        ValueError: bounds that it takes are not known, or not finite.

    >>> half = ActionUnits(([-2.0], [2.0]), scaled=True)
    >>> conversion(ActionUnits(([-2.0], [2.0])), half)(np.array([[-2.0], [0.5], [2.0]])).ravel().tolist()
    [-1.0, 0.25, 1.0]
    >>> conversion(half, half) is None
    True
    """
    if source.scaled == target.scaled and (not source.scaled or source.same_raw(target)):
        return None
    asked = [side.raw for side in (source, target) if side.scaled]
    if any(raw is None or not np.isfinite(np.asarray(raw)).all() for raw in asked):
        raise ValueError("the bounds that -1 and 1 stand for are not known")
    if all(raw is not None and same_bounds(raw, (-1, 1)) for raw in asked):
        return None  # scaled or not, the numbers are the same
    return Conversion(source.raw if source.scaled else None, target.raw if target.scaled else None)


def stretched(actions: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """Actions in [-1, 1] stretched to bounds, both ends exactly.

    >>> stretched([-1.0, 0.0, 1.0], -0.2, 0.2).tolist()
    [-0.2, 0.0, 0.2]
    """
    share = (np.asarray(actions, np.float64) + 1) / 2
    stretched: NDArray[np.float64] = (1 - share) * np.asarray(low, np.float64) + share * np.asarray(high, np.float64)
    return stretched


def same_bounds(one: Bounds, other: Bounds) -> bool:
    """Whether bounds are the same but for rounding; of other lengths they are not."""
    pairs = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(one, other, strict=True)]
    fits = all(a.shape == b.shape or () in (a.shape, b.shape) for a, b in pairs)
    return fits and all(np.allclose(a, b, rtol=_SAME, atol=1e-9) for a, b in pairs)


def bounds_text(low: ArrayLike, high: ArrayLike) -> str:
    """Bounds in a few words.

    >>> bounds_text([-2.0, -2.0], [2.0, 2.0]), bounds_text([-0.2, -1.0], [0.2, 1.0])
    ('-2 to 2', '[-0.2 -1] to [0.2 1]')
    """
    return " to ".join(_side(np.asarray(bound, np.float64).ravel()) for bound in (low, high))


def _side(bound: NDArray[np.float64]) -> str:
    if len(bound) and (bound == bound[0]).all():
        return f"{bound[0]:.4g}"
    shown = " ".join(f"{number:.4g}" for number in bound[:4])
    return f"[{shown} ...]" if len(bound) > 4 else f"[{shown}]"  # noqa: PLR2004  (a line has room for four)


def require_bounds(low: Array, high: Array, env_id: str, use: str) -> None:
    """Refuse an action space [a] without finite bounds, which ``use`` takes.

    Raises:
        EnvError: it has none.
    """
    if np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all():
        return
    raise EnvError(
        f"the actions of {env_id} have no finite bounds, low below high ({bounds_text(low, high)}), which {use} needs",
        "A wrapper of yours (env.wrappers) can declare them: an action_space with finite low below high.",
    )


class Clipper:
    """Clips actions to bounds, and counts what it moved.

    Args:
        low: lower bounds [a].
        high: upper bounds [a].

    Attributes:
        rows: seen so far.
        outside: rows with an entry outside.
        entries: entries outside, of ``seen`` in all.
        far: rows with an entry outside by more than half the width of the bounds.
        most: largest distance of an entry from its bounds.
    """

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        self._low, self._high = np.asarray(low, np.float32), np.asarray(high, np.float32)
        self.rows = self.outside = self.entries = self.far = 0
        self.seen, self.most = 0, 0.0

    def __call__(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Actions [n, a] within the bounds; the same array where all are. NaN stays."""
        self.rows += len(actions)
        self.seen += actions.size
        clipped: NDArray[np.float32] = np.clip(actions, self._low, self._high)
        moved = (clipped != actions) & ~np.isnan(actions)
        if not moved.any():
            return actions
        apart = np.where(moved, np.abs(actions - clipped), 0)
        self.outside += int(moved.any(axis=1).sum())
        self.entries += int(moved.sum())
        self.far += int((apart > (self._high - self._low) / 2).any(axis=1).sum())
        self.most = max(self.most, float(apart.max()))
        return clipped

    @property
    def too_many(self) -> bool:
        """More than one row in five is far outside, or one entry in five outside: probably other units.

        A handful of rows (below 20) tells nothing.
        """
        share = max(self.far / max(self.rows, 1), self.entries / max(self.seen, 1))
        return self.rows >= _ENOUGH and share > _LIMIT

    def __str__(self) -> str:
        where = f"outside {bounds_text(self._low, self._high)}, by up to {self.most:.3g}"
        return f"{self.outside:,} of {self.rows:,} rows ({self.entries:,} entries) have actions {where}"
