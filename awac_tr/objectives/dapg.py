"""DAPGLoss: the demonstration-augmented policy gradient (Rajeswaran et al., 2018), and its baseline's regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictSequential
from torch import Tensor, nn

from awac_tr.keys import DONE, OBSERVATION
from awac_tr.objectives.base import ActorLoss, log_prob
from awac_tr.objectives.batch import require_column, working_copy

__all__ = ["DAPGLoss", "baseline_features", "following_values", "steps_within_episodes"]

_SCALE = 1e-2
"""Of the whole gradient in the released code; it cancels in the step, but not in the stop of conjugate gradients."""
_CLIP = 10.0
_THOUSAND = 1000.0
_POWERS = 4


class DAPGLoss(ActorLoss):
    """Surrogate of the policy gradient, ``1e-2 / N (sum_RL A log pi(a | s) + sum_demo w log pi(a | s))``.

    N is the number of fresh transitions: demonstrations count by their number relative to it.

    Args:
        actor_network: pi.
        baseline: b: features [N, o + 4] of :func:`baseline_features` -> [N, 1].

    Raises:
        BatchError: an entry is missing or has the wrong shape.
    """

    @dataclass
    class _AcceptedKeys:
        """Keys that ``set_keys(name=key)`` changes.

        Attributes:
            action: recorded actions [B, action_size].
        """

        action: NestedKey = "action"

    default_keys = _AcceptedKeys
    tensor_keys: _AcceptedKeys
    _out_keys_reduced: ClassVar = ("loss_actor", "loss_value")
    _out_keys_per_row: ClassVar = _out_keys_reduced

    def __init__(self, actor_network: ProbabilisticTensorDictSequential, baseline: nn.Module) -> None:
        super().__init__("mean")
        self.convert_to_functional(actor_network, "actor_network")
        self.baseline = baseline

    def surrogate(self, fresh: TensorDictBase, demonstrations: TensorDictBase) -> Tensor:
        """What the gradient is of, a scalar to be maximised.

        Args:
            fresh: ``observation``, ``action`` and ``weight`` [N, 1], the whitened advantages.
            demonstrations: the same [M], the weight being that of demonstrations.
        """
        terms = [self._weighted(rows) for rows in (fresh, demonstrations)]
        return _SCALE * (terms[0] + terms[1]) / len(fresh)

    def gaussian(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the actions, [N, n] each, with gradient."""
        (policy,) = self._policies(TensorDict({OBSERVATION: observation}, [len(observation)]))
        return policy.mean, policy.stddev

    def value_loss(self, features: Tensor, returns: Tensor) -> TensorDict:
        """Squared error of the baseline, for [B, o + 4] and [B, 1] -> ``loss_value``."""
        rows = TensorDict({"features": features, "return": returns}, [len(features)])
        target = require_column(rows, "return")
        return TensorDict({"loss_value": (self.baseline(features) - target).square().mean()})

    def _weighted(self, rows: TensorDictBase) -> Tensor:
        batch = working_copy(rows, self.tensor_keys.action, [*self.in_keys, "weight"])
        weight = require_column(batch, "weight").squeeze(-1)
        (policy,) = self._policies(batch)
        return (weight * log_prob(policy, batch.get(self.tensor_keys.action), batch)).sum()

    def _wanted_keys(self) -> list[NestedKey]:
        return [*self.actor_network.in_keys, self.tensor_keys.action]


def steps_within_episodes(done: Tensor, before: int = 0) -> Tensor:
    """How many steps of its episode lie before each row, [N, 1] int64.

    Args:
        done: bool [N, 1], rows in order.
        before: steps of the first row's episode that were taken before it.

    Examples:
        >>> steps_within_episodes(torch.tensor([[False], [True], [False], [False]]), 3).flatten()
        tensor([3, 4, 0, 1])
    """
    ends = done.reshape(-1)
    number = torch.arange(len(ends), device=done.device)
    first = torch.zeros_like(number)
    first[1:] = torch.where(ends[:-1], number[1:], 0)
    first = first.cummax(0)[0]
    return (number - first + before * (first == 0)).unsqueeze(-1)


def baseline_features(observation: Tensor, step: Tensor) -> Tensor:
    """clip(s, +-10) / 10, and (t / 1000)^1 to (t / 1000)^4: [N, o + 4].

    Args:
        observation: s, [N, o].
        step: t, [N, 1].
    """
    time = step.to(observation.dtype) / _THOUSAND
    return torch.cat([observation.clamp(-_CLIP, _CLIP) / _CLIP, *(time**power for power in range(1, _POWERS + 1))], -1)


def following_values(value: Tensor, rows: TensorDictBase) -> Tensor:
    """b(s_{t+1}) as the released code has it: of the next row; where an episode ends or is cut, the last b there is.

    Args:
        value: b(s_t) of rows in order, [N, 1].
        rows: with ``done`` [N, 1].
    """
    following = torch.cat([value[1:], value[-1:]])
    return torch.where(rows.get(DONE), value, following)
