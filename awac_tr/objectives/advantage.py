"""What losses of advantage-weighted policies share: Q between bounds, V(s) of it, coefficients that may change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from tensordict import TensorDict
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule
from torch import Tensor, nn
from torch.distributions import Distribution

from awac_tr.objectives.actor_critic import ActorCriticLoss
from awac_tr.objectives.base import check_choice, deterministic_action

__all__ = ["AdvantageLoss", "cap", "positive"]


def positive(name: str, value: Any) -> float:
    """The value as a number, which must be above 0."""
    if not float(value) > 0:
        raise ValueError(f"{name} is {value}, it must be above 0")
    return float(value)


def cap(name: str, value: Any) -> float:
    """The value as a number; None: infinity, no cap."""
    number = math.inf if value is None else float(value)
    if math.isnan(number):
        raise ValueError(f"{name} is {value}, it must be a number")
    return number


def _bounds(bounds: Any) -> tuple[float, float]:
    """(low, high), each None where it is open."""
    low, high = bounds
    numbers = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    if not numbers[0] < numbers[1]:
        raise ValueError(f"value_bounds {bounds} must be (low, high)")
    return numbers


class AdvantageLoss(ActorCriticLoss):
    """Eq. 3 with ``clamp(min_i Q_target_i(s', a'))``, ``a' ~ pi(. | s')``, and V(s) for A(s, a) = Q(s, a) - V(s).

    Subclasses add the actor's loss. Arguments, batch and errors are those of
    :class:`~awac_tr.objectives.AWACLoss`; options are those of ``ActorCriticLoss``.
    """

    _coefficients: ClassVar = {
        "temperature": lambda value: positive("temperature", value),
        "advantage_max": lambda value: cap("advantage_max", value),
        "weight_max": lambda value: positive("weight_max", cap("weight_max", value)),
        "value_bounds": _bounds,
    }

    temperature: Tensor
    advantage_max: Tensor
    weight_max: Tensor
    value_bounds: Tensor

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        coefficients: Mapping[str, Any],
        value_estimate: Literal["sample", "mean"],
        value_samples: int,
        **options: Any,
    ) -> None:
        super().__init__(actor_network, qvalue_network, **options)
        check_choice("value_estimate", value_estimate, ("sample", "mean"))
        if value_samples < 1:
            raise ValueError(f"value_samples is {value_samples}, it must be at least 1")
        self.value_estimate = value_estimate
        self.value_samples = value_samples
        self._register_coefficients(**coefficients)

    def next_value(self, following: TensorDict, policy: Distribution) -> Tensor:
        """clamp(min_i Q_target_i(s', a')), ``a' ~ pi(. | s')``, [*B, 1]."""
        return self._clamped_min(self._target_qvalues(following, policy.sample()))

    @torch.no_grad()
    def _acting(self, batch: TensorDict, policy: Distribution) -> TensorDict:
        """States with actions a_k of the policy, batch size [K, *B]: where V(s) looks at Q."""
        if self.value_estimate == "mean":
            return self._with_actions(batch, deterministic_action(policy).unsqueeze(0))
        return self._with_actions(batch, policy.sample((self.value_samples,)))

    def _clamped_min(self, qvalues: Tensor) -> Tensor:
        """clamp(min_i Q_i) over the first dimension."""
        low, high = self.value_bounds
        return qvalues.min(0)[0].clamp(low, high)
