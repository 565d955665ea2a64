"""What the loop knows of an algorithm, and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential
    from torch import Tensor

__all__ = ["Learner", "Statistics"]


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
