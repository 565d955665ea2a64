"""What our losses share of TorchRL's ``LossModule`` contract: keys, coefficients, the policy call, masks, outputs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase, TensorDictParams, unravel_key
from tensordict.nn import ProbabilisticTensorDictSequential
from torch import Tensor
from torch.distributions import Distribution
from torchrl.objectives import LossModule

from awac_tr.objectives.batch import BatchError
from awac_tr.objectives.ensemble import parameters_in

__all__ = ["ActorLoss", "Reduction", "check_choice", "check_rules", "deterministic_action", "log_prob"]

_log = logging.getLogger(__name__)

Reduction: TypeAlias = Literal["mean", "sum", "none"]


class ActorLoss(LossModule):
    """A loss with an ``actor_network``; subclasses say in :meth:`_wanted_keys` what they read.

    Subclasses call ``convert_to_functional(actor_network, "actor_network")`` in their constructor, and name their
    outputs in two class attributes: ``_out_keys_reduced``, and ``_out_keys_per_row`` for ``reduction="none"``.
    """

    actor_network: ProbabilisticTensorDictSequential
    actor_network_params: TensorDictParams
    target_actor_network_params: TensorDictParams

    _coefficients: ClassVar[Mapping[str, Callable[[Any], float | Sequence[float]]]] = {}
    """Numbers that may change while the loss trains, each with what checks a value and makes it plain numbers."""
    _out_keys_reduced: ClassVar[tuple[str, ...]]
    _out_keys_per_row: ClassVar[tuple[str, ...]]
    _further_keys: tuple[str, ...] = ()
    """Reduced outputs of parts that are at work in this instance only."""
    _in_keys: list[NestedKey] | None = None
    _out_keys: list[NestedKey] | None = None

    def __init__(self, reduction: Reduction | None) -> None:
        super().__init__()
        self.reduction: Reduction = "mean" if reduction is None else reduction
        check_choice("reduction", self.reduction, ("mean", "sum", "none"))

    def _register_coefficients(self, **values: Any) -> None:
        """Make buffers of them, beside the parameters, in float32 at least; afterwards attributes set their values."""
        like = next(self.parameters())
        dtype = torch.promote_types(like.dtype, torch.float32)
        for name, value in values.items():
            self.register_buffer(name, torch.tensor(self._coefficients[name](value), dtype=dtype, device=like.device))

    def __setattr__(self, name: str, value: Any) -> None:
        """``loss.temperature = 0.1`` writes into the buffer: code that was compiled sees it too."""
        buffer = self.__dict__.get("_buffers", {}).get(name) if name in self._coefficients else None
        if buffer is None:
            super().__setattr__(name, value)
        else:
            buffer.copy_(torch.tensor(self._coefficients[name](value), dtype=buffer.dtype))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """States from before coefficients were buffers have none of them: those of the constructor stay."""
        own = {prefix + name: getattr(self, name) for name in self._coefficients}
        if own and not own.keys() & state_dict.keys():
            _log.info(
                "the loss's state is an older one, without %s: kept as constructed", ", ".join(self._coefficients)
            )
            state_dict |= own
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def in_keys(self) -> list[NestedKey]:
        """What ``forward`` reads, in the order of its positional arguments."""
        if self._in_keys is None:
            self._set_in_keys()
        return self._in_keys or []

    @in_keys.setter
    def in_keys(self, values: list[NestedKey]) -> None:
        self._in_keys = values

    @property
    def out_keys(self) -> list[NestedKey]:
        """What ``forward`` gives, in the order of the tuple that a call by keywords returns."""
        if self._out_keys is not None:
            return self._out_keys
        if self.reduction == "none":
            return list(self._out_keys_per_row)
        return [*self._out_keys_reduced, *self._further_keys]

    @out_keys.setter
    def out_keys(self, values: list[NestedKey]) -> None:
        self._out_keys = values

    def _set_in_keys(self) -> None:
        """TorchRL calls this whenever a key changes; at once, since to compiled code it is a change of the module."""
        self._in_keys = list(dict.fromkeys(unravel_key(key) for key in self._wanted_keys()))

    def select_out_keys(self, *out_keys: NestedKey) -> ActorLoss:
        """Give these outputs only, until :meth:`reset_out_keys`.

        TensorDict's own way fails for a batch that lacks an entry of ``in_keys``, even one that is not needed.
        """
        unknown = set(out_keys) - set(self.out_keys)
        if unknown:
            raise ValueError(f"out_keys are {self.out_keys}: there is no {sorted(map(str, unknown))}")
        self._out_keys = list(out_keys)
        return self

    def reset_out_keys(self) -> ActorLoss:
        """Give all outputs again."""
        self._out_keys = None
        return self

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

    def _mean(self, rows: Tensor) -> Tensor:
        """A diagnostic [*B], detached: its mean, or under ``reduction="none"`` itself."""
        return rows.detach() if self.reduction == "none" else rows.detach().mean()

    def _output(self, terms: Mapping[str, Tensor], batch: TensorDict) -> TensorDict:
        """What ``forward`` returns: without batch size, or under ``reduction="none"`` with the batch's."""
        size = batch.batch_size if self.reduction == "none" else []
        return TensorDict({key: terms[key] for key in self.out_keys}, batch_size=size)


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


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is one of the known ones."""
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")


def check_rules(rules: Mapping[str, bool]) -> None:
    """Raise ValueError with the text of the first rule that does not hold."""
    for rule, holds in rules.items():
        if not holds:
            raise ValueError(rule)
