"""When learning has gone wrong for good: losses that are no numbers, or values that no return can have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import torch

from awac_tr.errors import AwacError
from awac_tr.keys import REWARD

if TYPE_CHECKING:
    from torch import nn
    from torchrl.data import TensorDictReplayBuffer

__all__ = ["DivergenceError", "Watch", "largest_return"]

_BEYOND: Final = 100.0
"""Values so many times as large as the largest return are no estimates any more."""
_BLOCK: Final = 1 << 13
_HEAVY: Final = 1e4
"""A single weight that outweighs this many others drives the actor alone."""


class DivergenceError(AwacError):
    """Training went wrong for good; what was saved before is kept."""


def largest_return(buffer: TensorDictReplayBuffer, gamma: float, horizon: int) -> float:
    """The size that no discounted return of these rewards exceeds: max |r| / (1 - gamma), or max |r| times the horizon.

    Args:
        buffer: transitions.
        gamma: discount; with 1 the horizon bounds the sum.
        horizon: steps of an episode.
    """
    # block by block: the rows may lie in mapped files that are larger than the memory
    starts = range(0, len(buffer), _BLOCK)
    reward = max((float(buffer[start : start + _BLOCK].get(REWARD).abs().max()) for start in starts), default=0.0)
    return max(reward, 1.0) * (1 / (1 - gamma) if gamma < 1 else horizon)


class Watch:
    """Reads the means of every row of losses, and says what they mean when they stop making sense.

    Args:
        bound: see :func:`largest_return`; rewards met later raise it.
        gamma: discount.
        horizon: steps of an episode.
    """

    def __init__(self, bound: float, gamma: float, horizon: int) -> None:
        self._bound = bound
        self._sum = 1 / (1 - gamma) if gamma < 1 else float(horizon)
        self._before: tuple[int, Mapping[str, float]] | None = None

    def meet(self, reward: float) -> None:
        """Take note of the size of a reward that was collected."""
        self._bound = max(self._bound, abs(reward) * self._sum)

    def look(self, means: Mapping[str, float], update: int) -> None:
        """Refuse to go on where the means say that there is nothing left to learn from.

        Raises:
            DivergenceError: a loss is no finite number, or the mean Q lies far beyond any return.
        """
        broken = [name for name, value in means.items() if name.startswith("loss") and not math.isfinite(value)]
        if broken:
            raise self.diverged(f"{', '.join(broken)} is no finite number", update)
        value = means.get("qvalue", 0.0)
        if abs(value) > _BEYOND * self._bound:
            self._before = (update, means)
            raise self.diverged(f"the mean Q is {value:.3g}", update)
        self._before = (update, means)

    def require_finite(self, policy: nn.Module, update: int, cause: BaseException | None = None) -> None:
        """Refuse to go on, or to save, with weights that are no numbers.

        Raises:
            DivergenceError: the policy has such weights.
        """
        if not all(bool(torch.isfinite(parameter).all()) for parameter in policy.parameters()):
            raise self.diverged("the policy is no finite number", update) from cause

    def diverged(self, what: str, update: int) -> DivergenceError:
        """The error, with what the last sound row of losses says about the reason."""
        said = f"training diverged: {what} at update {update}"
        if self._before is None:
            return DivergenceError(said, f"{_CURES[None]} {_KEPT}")
        when, means = self._before
        signs = [sign for sign in (_heavy(means), self._too_large(means)) if sign is not None]
        seen = "; ".join(text for text, _ in signs) or f"the losses were finite ({_losses(means)})"
        cures = [_CURES[kind] for _, kind in signs] or [_CURES[None]]
        return DivergenceError(f"{said}. At update {when} {seen}", " ".join([*cures, _KEPT]))

    def _too_large(self, means: Mapping[str, float]) -> tuple[str, str] | None:
        value = means.get("qvalue")
        if value is None or abs(value) <= self._bound:
            return None
        return f"the mean Q was {value:.3g}, where no return is larger than {self._bound:.3g}", "values"


def _heavy(means: Mapping[str, float]) -> tuple[str, str] | None:
    weight = means.get("weight_max", 0.0)
    if weight <= _HEAVY:
        return None
    share = means.get("effective_sample_size")
    rows = "" if share is None else f", so that a batch counted as {share:.1f} rows"
    return f"the largest weight was {weight:.3g}{rows}", "weights"


def _losses(means: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in means.items() if name.startswith("loss"))


_CURES: Final[dict[str | None, str]] = {
    None: "Smaller learning rates (awac.policy_lr, awac.qvalue_lr) may help.",
    "values": "awac.value_bounds keeps targets where returns can lie.",
    "weights": "awac.weight_max caps single weights (100 is usual), a larger awac.lmbda makes all more alike.",
}
_KEPT: Final = "The checkpoints of before are kept."
