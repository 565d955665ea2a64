"""What the loop knows of an algorithm, and nothing more."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import torch

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential
    from torch import Tensor

__all__ = ["Learner", "Statistics", "adam", "load_adam"]


class Statistics(NamedTuple):
    """Mean and standard deviation of the observations in the offline data, each [observation_size] float32."""

    mean: Tensor
    std: Tensor


@runtime_checkable
class Learner(Protocol):
    """A policy that learns from batches.

    Attributes:
        policy: what acts; keys ``observation`` [B, o] -> ``loc``, ``scale``, ``action`` [B, a], float32.
    """

    policy: ProbabilisticTensorDictSequential

    def update(self, batch: TensorDictBase) -> TensorDictBase:
        """One gradient step on a batch of transitions [B]; returns detached scalars, still on the device."""

    def state_dict(self) -> dict[str, Any]:
        """All that an identical continuation needs: networks, targets, optimisers. Tensors and plain data only."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""


def adam(*groups: tuple[Iterable[torch.nn.Parameter], float, float]) -> torch.optim.Adam:
    """One fused Adam over parameter groups.

    Weight decay is added to the gradient (L2), as in the authors' code; not decoupled.

    Args:
        *groups: (parameters, learning rate, weight decay) each.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> [group["weight_decay"] for group in adam((layer.parameters(), 3e-4, 1e-4)).param_groups]
        [0.0001]
    """
    made: list[dict[str, Any]] = [
        {"params": list(parameters), "lr": lr, "weight_decay": decay} for parameters, lr, decay in groups
    ]
    on_gpu = any(parameter.is_cuda for group in made for parameter in group["params"])
    return torch.optim.Adam(made, fused=True, capturable=on_gpu)


def load_adam(optimizer: torch.optim.Adam, state: dict[str, Any]) -> None:
    """Take up the state of another one, perhaps from another device, without sharing its tensors."""
    own = [group["capturable"] for group in optimizer.param_groups]
    optimizer.load_state_dict(copy.deepcopy(state))
    for group, capturable in zip(optimizer.param_groups, own, strict=True):
        group["capturable"] = capturable
