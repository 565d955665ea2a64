"""Several critics of one architecture: how they are handed to TorchRL, and how they are evaluated together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictParams
from torch import Tensor, nn

from awac_tr.objectives.batch import BatchError

__all__ = [
    "critic_list",
    "ensemble_values",
    "keep_parameters",
    "parameters_in",
    "shared_parameters",
    "some_critics",
]

_log = logging.getLogger(__name__)


@contextmanager
def parameters_in(network: nn.Module, params: TensorDictBase) -> Iterator[None]:
    """Run a network with these parameters in the block; its own are there again after it.

    TensorDict's ``to_module`` does it, but as a context manager it puts an error of its own in the place of whatever is
    raised in the block.
    """
    swapped = params.to_module(network, preserve_module_state=False)
    swapped.__enter__()
    try:
        yield
    finally:
        swapped.__exit__(None, None, None)


def critic_list(
    networks: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList, count: int | None
) -> tuple[TensorDictModule | list[TensorDictModule], int]:
    """What ``LossModule.convert_to_functional`` is to stack, and how many critics that makes.

    Args:
        networks: a list or ``ModuleList`` of critics, whose parameters will be kept, or a single one.
        count: how many critics; None: the length of the list, or 2 for a single module.

    Raises:
        ValueError: an empty list, or one whose length is not ``count``.
    """
    if isinstance(networks, Sequence | nn.ModuleList):
        if not networks or count not in (None, len(networks)):
            raise ValueError(f"num_qvalue_nets is {count}, but {len(networks)} critics were given")
        return (list(networks) if len(networks) > 1 else networks[0]), len(networks)
    number = 2 if count is None else count
    if number < 1:
        raise ValueError(f"num_qvalue_nets is {number}: at least one critic is needed")
    if number > 1:
        _log.info(
            "one critic given for %d: TorchRL draws the parameters of each anew; pass a list to keep them", number
        )
    return networks, number


def keep_parameters(network: TensorDictModule, *stacked: TensorDictParams) -> None:
    """Give stacks of one critic the tensors of that critic.

    TorchRL draws anew what it expands, and of a list of one it makes views, which no optimiser takes.

    Args:
        network: the critic.
        stacked: parameters [1, ...], written to.
    """
    own = TensorDict.from_module(network).data
    for params in stacked:
        params.data.update_(own.apply(lambda tensor: tensor.unsqueeze(0), batch_size=[1]))


def shared_parameters(
    networks: TensorDictModule | list[TensorDictModule], actor: nn.Module
) -> dict[NestedKey, NestedKey]:
    """The parameters that all critics have in common with the actor, a shared trunk.

    Returns:
        Where each is found in a critic -> where in the actor.

    Raises:
        ValueError: critics have one in common with each other but not with the actor. A stack of one tensor is no
            parameter, and no optimiser would train it.
    """
    first, *others = (TensorDict.from_module(each) for each in (networks if isinstance(networks, list) else [networks]))
    actors = {value: key for key, value in TensorDict.from_module(actor).items(include_nested=True, leaves_only=True)}
    common = {
        key: value
        for key, value in first.items(include_nested=True, leaves_only=True)
        if isinstance(value, nn.Parameter) and all(other.get(key) is value for other in others)
    }
    stuck = [".".join(key) for key, value in common.items() if others and value.requires_grad and value not in actors]
    if stuck:
        raise ValueError(f"critics share {', '.join(stuck)} with each other: give each its own, copy.deepcopy(critic)")
    return {key: actors[value] for key, value in common.items() if value in actors}


def some_critics(params: TensorDictBase, count: int | None) -> TensorDictBase:
    """A random subset of the critics, drawn from torch's global generator (RLPD, REDQ).

    Args:
        params: parameters of all critics, stacked along a first dimension.
        count: how many; None: all of them, in their order.
    """
    return params if count is None else params[torch.randperm(params.batch_size[0], device=params.device)[:count]]


def ensemble_values(
    network: TensorDictModule,
    params: TensorDictBase,
    key: NestedKey,
    inputs: Sequence[TensorDict],
    *,
    differentiated: int | None = None,
    vmap_randomness: str | None,
) -> tuple[Tensor, ...]:
    """Q of every critic for each of the inputs.

    Args:
        network: the architecture, called with the parameters of each critic in turn.
        params: parameters of all critics, stacked along a first dimension of size N. Gradient flows to them, and to
            the inputs; with ``params.detach()`` to the inputs only, as for an actor that is trained through Q.
        key: where the network writes its values.
        inputs: TensorDicts with what the network reads; not written to. The shapes may differ.
        differentiated: how many of the inputs, from the first on, are evaluated with gradient; None: all.
        vmap_randomness: evaluate by ``torch.vmap`` with this randomness; None: one critic after another.

    Returns:
        For inputs of batch size [*B], values [N, *B, 1] each.

    Raises:
        BatchError: values of another shape.
    """

    def evaluated(some: Sequence[TensorDict]) -> tuple[Tensor, ...]:
        return tuple(network(each.copy()).get(key) for each in some)

    def one_critic(own: TensorDictBase) -> tuple[Tensor, ...]:
        # parameters are swapped in once for all inputs: a swap costs as much as a small forward pass
        with parameters_in(network, own):
            values = evaluated(inputs[:differentiated])
            if differentiated is None:
                return values
            with torch.no_grad():
                return values + evaluated(inputs[differentiated:])

    if vmap_randomness is not None:
        values = torch.vmap(one_critic, randomness=vmap_randomness)(params)
    else:
        values = tuple(torch.stack(each) for each in zip(*map(one_critic, params.unbind(0)), strict=True))
    for value, each in zip(values, inputs, strict=True):
        if value.shape[1:] != (*each.batch_size, 1):
            raise BatchError(f"a critic gave values of shape {list(value.shape[1:])}, expected {[*each.batch_size, 1]}")
    return values
