"""What our losses share of TorchRL's ``LossModule`` contract: keys, the policy call, masks, the TD(0) target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase, TensorDictParams, unravel_key
from tensordict.nn import ProbabilisticTensorDictSequential
from torch import Tensor
from torch.distributions import Distribution
from torchrl.objectives import LossModule, ValueEstimators
from torchrl.objectives.utils import dispatch_value_estimator
from torchrl.objectives.value import TD0Estimator

from awac_tr.objectives.batch import BatchError
from awac_tr.objectives.ensemble import parameters_in

__all__ = ["ActorLoss", "check_choice", "check_rules", "deterministic_action", "log_prob", "set_td0"]


class ActorLoss(LossModule):
    """A loss with an ``actor_network``; subclasses say in :meth:`_wanted_keys` what they read.

    Subclasses call ``convert_to_functional(actor_network, "actor_network")`` in their constructor.
    """

    actor_network: ProbabilisticTensorDictSequential
    actor_network_params: TensorDictParams
    target_actor_network_params: TensorDictParams

    _in_keys: list[NestedKey] | None = None

    @property
    def in_keys(self) -> list[NestedKey]:
        """What ``forward`` reads, in the order of its positional arguments."""
        if self._in_keys is None:
            self._set_in_keys()
        return self._in_keys or []

    @in_keys.setter
    def in_keys(self, values: list[NestedKey]) -> None:
        self._in_keys = values

    def _set_in_keys(self) -> None:
        self._in_keys = list(dict.fromkeys(unravel_key(key) for key in self._wanted_keys()))

    def _wanted_keys(self) -> list[NestedKey]:
        """The entries of the batch that the loss reads; repetitions do no harm."""
        raise NotImplementedError

    def _make_vmap(self) -> None:
        """Nothing to rebuild when TorchRL changes the randomness: vmap is applied at the call."""

    def _policies(self, *states: TensorDictBase) -> tuple[Distribution, ...]:
        """pi(. | s) for each of these states, which are not written to; gradient flows through the first only."""
        network = self.actor_network
        reads = [each.select(*network.in_keys) for each in states]
        with parameters_in(network, self.actor_network_params):
            first = network.get_dist(reads[0])
            with torch.no_grad():
                return (first, *(network.get_dist(each) for each in reads[1:]))

    def _refuse_masks(self, tensordict: TensorDictBase) -> None:
        """Raise for a padded batch: its empty rows would count as transitions."""
        for key in self._loss_mask_keys():
            if tensordict.get(key, None) is not None:
                raise BatchError(
                    f"the batch is padded: it has the mask {key!r}",
                    "Keep its valid rows only, batch[mask], or set loss_mask_key = None to train on all of them.",
                )


def log_prob(policy: Distribution, action: Tensor, batch: TensorDict) -> Tensor:
    """The log-likelihood log pi(a | s), [*B].

    Raises:
        BatchError: the distribution does not sum over the dimensions of an action.
    """
    value: Tensor = policy.log_prob(action)
    if value.shape != batch.batch_size:
        raise BatchError(
            f"log-probabilities have shape {list(value.shape)}, expected {list(batch.batch_size)}",
            "The policy's distribution must sum over the dimensions of an action, as IndependentNormal does.",
        )
    return value


def deterministic_action(policy: Distribution) -> Tensor:
    """The action TorchRL takes under ``DETERMINISTIC``: for TanhNormal tanh(loc), for a plain Normal its mean."""
    action: Tensor | None = getattr(policy, "deterministic_sample", None)
    return policy.mean if action is None else action


def set_td0(loss: LossModule, value_type: Any, hyperparams: dict[str, Any]) -> None:
    """Give a loss the TD(0) estimator, and no other.

    Args:
        loss: the loss.
        value_type: ``ValueEstimators.TD0`` or None, the class ``TD0Estimator``, or an instance of it.
        hyperparams: of the estimator, for example ``gamma``.

    Raises:
        NotImplementedError: another estimator: transitions out of a buffer hold no trajectory to trace.
    """
    if isinstance(value_type, TD0Estimator):
        # not through the property: nn.Module would take the name for a child's
        loss._value_estimator = value_type  # noqa: SLF001
        loss.value_type = TD0Estimator
    else:
        kind = ValueEstimators.TD0 if value_type is None or value_type is TD0Estimator else value_type
        if kind not in (ValueEstimators.TD0, "td0", "TD0"):
            raise NotImplementedError(f"{type(loss).__name__} knows the value estimator TD0 only, not {value_type!r}")
        dispatch_value_estimator(loss, kind, supported={ValueEstimators.TD0}, **hyperparams)
    # renamed keys reach the new estimator: no public way to say so
    loss._forward_value_estimator_keys()  # noqa: SLF001


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is one of the known ones."""
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")


def check_rules(rules: Mapping[str, bool]) -> None:
    """Raise ValueError with the text of the first rule that does not hold."""
    for rule, holds in rules.items():
        if not holds:
            raise ValueError(rule)
