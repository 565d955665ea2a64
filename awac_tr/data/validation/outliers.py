"""How surprising is a step: a linear model of the dynamics, fitted once, tells a reset from an ordinary step.

The residual of ``next - now`` given state and action is divided, entry by entry, by its 99th percentile within
episodes; a step's surprise is the root mean square of that over the entries, each capped at 20. Ordinary steps stay
around 1 and below, a step over a reset shows in nearly every entry at once.
"""

from __future__ import annotations

from typing import Final, Self

import numpy as np

from awac_tr.data.validation.base import Array, Block

__all__ = ["OutlierModel"]

_SAMPLE: Final = 4096
_FEWEST: Final = 20
_ROWS_A_FEATURE: Final = 4
_CAP: Final = 20.0
_QUANTILE: Final = 0.99


class OutlierModel:
    """A fitted model: ``weights`` [features, o] of the step, ``scale`` [o], the 99th percentile of the residuals.

    ``usual`` is the surprise that 99 % of steps within episodes stay below.
    """

    def __init__(self, weights: Array, scale: Array, usual: float = np.inf) -> None:
        self._weights, self._scale, self.usual = weights, scale, usual

    @classmethod
    def fit(cls, states: Array, actions: Array, following: Array) -> Self | None:
        """Fit to steps within episodes, [n, o], [n, a] and [n, o]; None where there are too few (under 20)."""
        if len(states) < _FEWEST:
            return None
        pick = np.linspace(0, len(states) - 1, min(len(states), _SAMPLE)).astype(np.int64)
        states, actions, following = states[pick], actions[pick], following[pick]
        finite = np.isfinite(states).all(axis=1) & np.isfinite(actions).all(axis=1) & np.isfinite(following).all(axis=1)
        states, actions, following = states[finite], actions[finite], following[finite]
        features = 1 + states.shape[1] + actions.shape[1]
        model = cls(np.zeros((features, states.shape[1])), np.ones(states.shape[1]))
        inputs, steps = model._inputs(states, actions), following.astype(np.float64) - states
        if len(states) >= _ROWS_A_FEATURE * features:
            model._weights = np.linalg.lstsq(inputs, steps, rcond=1e-8)[0]
        elif len(states):
            model._weights[0] = steps.mean(axis=0)
        else:
            return None
        rounding = 1e-7 * (1 + np.abs(states).max(axis=0))
        model._scale = np.quantile(np.abs(steps - inputs @ model._weights), _QUANTILE, axis=0) + rounding
        model.usual = float(np.quantile(model.of(states, actions, following), _QUANTILE))
        return model

    @staticmethod
    def _inputs(states: Array, actions: Array) -> Array:
        return np.concatenate([np.ones((len(states), 1)), states, actions], axis=1)

    def of(self, states: Array, actions: Array, following: Array) -> Array:
        """How surprising are steps, [n] float64; 0 for rows that are not finite. The arrays are as in :meth:`fit`."""
        with np.errstate(invalid="ignore", over="ignore"):
            expected = self._inputs(states, actions) @ self._weights
            sizes = np.abs(following.astype(np.float64) - states - expected) / self._scale
            found: Array = np.sqrt((np.minimum(sizes, _CAP) ** 2).mean(axis=1))
        return np.nan_to_num(found)

    def of_rows(self, block: Block, rows: Array) -> Array:
        """How surprising are some steps of a block, [n] float64."""
        return self.of(*(block.arrays[name][rows] for name in ("observations", "actions", "next_observations")))
