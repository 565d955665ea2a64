"""When learning has gone wrong for good: losses that are no numbers, or values that no return can have."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from awac_tr.errors import AwacError
from awac_tr.keys import REWARD

if TYPE_CHECKING:
    from torch import nn
    from torchrl.data import TensorDictReplayBuffer

    from awac_tr.algorithms.config import CriticConfig

__all__ = ["DivergenceError", "DivergenceMonitor", "RewardSize", "say_scale"]

_log = logging.getLogger(__name__)

_BEYOND: Final = 100.0
"""Values so many times as large as the largest return are no estimates any more."""
_BLOCK: Final = 1 << 13
_LEAST, _MOST = 1e-2, 1e4
"""Between these lie returns that critics can learn with the usual learning rate, and that weights can tell apart."""
_USUAL_LR: Final = 3e-4
_HUGE: Final = 1e6
"""Returns beyond it are the reason, whatever else is seen."""
_HEAVY: Final = 1e4
"""A single weight that outweighs this many others drives the actor alone."""


class DivergenceError(AwacError):
    """Training went wrong for good; what was saved before is kept."""


@dataclass(frozen=True)
class RewardSize:
    """How large rewards are.

    Attributes:
        largest: max |r|.
        usual: their root mean square, which is what a squared error of critics sees of them.
    """

    largest: float
    usual: float

    @classmethod
    def of(cls, buffer: TensorDictReplayBuffer) -> RewardSize:
        """Of all transitions in a buffer, block by block: they may lie in mapped files larger than the memory."""
        largest, squares = 0.0, 0.0
        for start in range(0, len(buffer), _BLOCK):
            reward = buffer[start : start + _BLOCK].get(REWARD).double()
            largest = max(largest, float(reward.abs().max()))
            squares += float(reward.square().sum())
        return cls(largest, math.sqrt(squares / max(1, len(buffer))))


def say_scale(size: RewardSize, config: CriticConfig, horizon: int) -> None:
    """Warn where critics that begin near 0 will not get to the returns, or not tell them from 0.

    A critic of the usual sizes takes 4,400 updates with a learning rate of 3e-4 to come within a tenth of targets of
    10,000 that stand still, and targets move.

    Args:
        size: of the rewards, unscaled.
        config: the recipe's section.
        horizon: steps of an episode.
    """
    steps = min(horizon, 1 / (1 - config.gamma)) if config.gamma < 1 else horizon
    expected = size.usual * config.reward_scale * steps
    if expected == 0 or _LEAST < expected < _MOST * config.qvalue_lr / _USUAL_LR:
        return
    scale = 10.0 ** round(2 - math.log10(size.usual * steps))
    far = "far from 0, where critics begin" if expected > 1 else "hardly different from 0"
    _log.warning(
        "rewards are of size %.2g (the largest is %.2g), discounted returns of about %.2g. Times "
        "algorithm.reward_scale=%g that is %s, for algorithm.qvalue_lr=%g. algorithm.reward_scale=%g makes it about "
        "100; returns are reported in the environment's units either way.",
        size.usual, size.largest, size.usual * steps, config.reward_scale, far, config.qvalue_lr, scale,
    )  # fmt: skip


class DivergenceMonitor:
    """Reads the means of every row of losses, and says what they mean when they stop making sense.

    Args:
        reward: the largest reward of the data; larger ones that are met later count as well.
        gamma: discount.
        horizon: steps of an episode; with gamma 1 they bound the sum.
        reward_scale: critics see rewards times this.
        stop: values far beyond any return end the run; else they are said once.
    """

    def __init__(
        self, reward: float, gamma: float, horizon: int, *, reward_scale: float = 1.0, stop: bool = True
    ) -> None:
        self._stop, self._said = stop, False
        self._scale = reward_scale
        self._sum = 1 / (1 - gamma) if gamma < 1 else float(horizon)
        self._bound = 0.0
        self.observe(max(reward, 1.0 / reward_scale))  # not zero: every value would be beyond it
        self._before: tuple[int, Mapping[str, float]] | None = None

    def observe(self, reward: float) -> None:
        """Take note of the size of a reward that was collected."""
        self._bound = max(self._bound, abs(reward) * self._scale * self._sum)

    def check(self, means: Mapping[str, float], update: int) -> None:
        """Refuse to go on where the means say that there is nothing left to learn from.

        Raises:
            DivergenceError: a loss is no finite number, or, with ``stop``, the mean Q lies far beyond any return.
        """
        broken = [name for name, value in means.items() if name.startswith("loss") and not math.isfinite(value)]
        if broken:
            raise self.diverged(f"{', '.join(broken)} is no finite number", update)
        value = means.get("qvalue", 0.0)
        if abs(value) > _BEYOND * self._bound:
            self._before = (update, means)
            error = self.diverged(f"the mean Q is {value:.3g}", update)
            if self._stop:
                raise error
            if not self._said:
                _log.warning("%s. Going on, as on_divergence says.", error.message)
                self._said = True
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
            rewards = self._large_rewards()
            seen, cure = (f". The {rewards[0]}", rewards[1]) if rewards else ("", None)
            return DivergenceError(said + seen, f"{_CURES[cure]} {_KEPT}")
        when, means = self._before
        signs = [sign for sign in (_heavy(means), self._large_rewards() or self._too_large(means)) if sign is not None]
        seen = "; ".join(text for text, _ in signs) or f"the losses were finite ({_losses(means)})"
        cures = [_CURES[kind] for _, kind in signs] or [_CURES[None]]
        return DivergenceError(f"{said}. At update {when} {seen}", " ".join([*cures, _KEPT]))

    def _large_rewards(self) -> tuple[str, str] | None:
        if self._bound <= _HUGE:
            return None
        return f"rewards reach {self._bound / self._sum:.3g}, and returns {self._bound:.3g}", "rewards"

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
    None: "Smaller learning rates (algorithm.policy_lr, algorithm.qvalue_lr) may help.",
    "values": "algorithm.value_bounds keeps targets where returns can lie.",
    "rewards": "A smaller algorithm.reward_scale brings them to where critics can learn; look first if they are right.",
    "weights": "algorithm.weight_max caps single weights (100 is usual), a larger temperature makes all more alike.",
}
_KEPT: Final = "The checkpoints of before are kept."
