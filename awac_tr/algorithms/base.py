"""What the loop knows of an algorithm, and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
    from torch import Tensor

    from awac_tr.models.best_of_samples import BestOfSamples

__all__ = ["Learner", "Statistics"]


class Statistics(NamedTuple):
    """Mean and standard deviation of the observations in the offline data, each [observation_size] float32."""

    mean: Tensor
    std: Tensor


@runtime_checkable
class Learner(Protocol):
    """A policy that learns from batches.

    Attributes:
        policy: what is saved and exported; keys ``observation`` [B, o] -> ``loc``, ``scale``, ``action`` [B, a],
            float32. Where the algorithm has no such policy, what takes the best of a model's actions.
        act: takes online steps, at random; ``observation`` [B, o] -> ``action`` [B, a]. The policy, unless the
            algorithm acts otherwise: BEAR and BCQ take the best of several samples by their Q.
        evaluate: acts in evaluations, likewise.
    """

    policy: ProbabilisticTensorDictSequential | BestOfSamples
    act: TensorDictModuleBase
    evaluate: TensorDictModuleBase

    def update(self, batch: TensorDictBase) -> TensorDictBase:
        """One update on a batch of transitions [B]; returns detached scalars, still on the device."""

    def on_phase(self, phase: str) -> None:
        """Told before the first update or step of a phase, ``offline`` or ``online``; not told again on resuming."""

    def on_round(self, transitions: TensorDictBase) -> None:
        """Told of the transitions [N] of every online round, before the updates that they owe."""

    def state_dict(self) -> dict[str, Any]:
        """All that an identical continuation needs: networks, targets, optimisers. Tensors and plain data only."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
