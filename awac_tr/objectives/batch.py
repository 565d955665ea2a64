"""What a loss demands of a batch of transitions, checked before any arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase, unravel_key

from awac_tr.errors import AwacError

__all__ = ["BatchError", "require", "require_column", "require_terminated", "row_values", "working_copy"]


class BatchError(AwacError, ValueError):
    """A batch lacks an entry, or has one of the wrong shape or dtype."""


def working_copy(
    tensordict: TensorDictBase, action: NestedKey, keys: Sequence[NestedKey], optional: Sequence[NestedKey] = ()
) -> TensorDict:
    """A new TensorDict with these entries of the caller's batch, which later writes do not reach.

    Args:
        tensordict: the caller's batch; not written to.
        action: key of the actions [*B, action_size], which fix the batch shape [*B].
        keys: entries that must be there, each with the leading shape [*B].
        optional: entries that are taken along if they are there.

    Returns:
        Batch size [*B]; tensors are shared, not copied.

    Raises:
        BatchError: an entry is missing, or leads with another shape; or there is no transition at all.
    """
    shape = require(tensordict, action).shape[:-1]
    if not shape:
        raise BatchError(f"{action!r} has shape {list(require(tensordict, action).shape)}, expected [B, action_size]")
    if 0 in shape:
        raise BatchError(
            f"the batch is empty: {action!r} has shape {[*shape, '...']}", "Sample one transition at least."
        )
    out = TensorDict({}, batch_size=shape)
    for key in keys:
        value = require(tensordict, key)
        if value.shape[: len(shape)] != shape:
            raise BatchError(
                f"{key!r} has shape {list(value.shape)}, which does not begin with the {list(shape)} of {action!r}"
            )
        out.set(key, value)
    for key in optional:
        found = tensordict.get(key, None)
        if found is not None:
            out.set(key, found)
    return out


def require(tensordict: TensorDictBase, key: NestedKey) -> torch.Tensor:
    """The tensor under this key.

    Raises:
        BatchError: there is none.
    """
    value: torch.Tensor | None = tensordict.get(key, None)
    if value is None:
        have = sorted(map(str, tensordict.keys(include_nested=True, leaves_only=True)))
        raise BatchError(f"the batch has no entry {unravel_key(key)!r}", f"It has: {', '.join(have) or 'nothing'}.")
    return value


def require_column(tensordict: TensorDictBase, key: NestedKey) -> torch.Tensor:
    """The tensor under this key, of shape [*B, 1] for the TensorDict's batch size [*B].

    Raises:
        BatchError: none there, or of another shape ([B] against [B, 1] would broadcast to [B, B] in silence).
    """
    value, expected = require(tensordict, key), [*tensordict.batch_size, 1]
    if list(value.shape) != expected:
        raise BatchError(
            f"{unravel_key(key)!r} has shape {list(value.shape)}, expected {expected}",
            "Add the last dimension: x.unsqueeze(-1).",
        )
    return value


def require_terminated(tensordict: TensorDictBase, key: NestedKey) -> torch.Tensor:
    """The bool flags that say where the task itself ended.

    Raises:
        BatchError: none there (``done`` is no substitute, since it is also set where time ran out), or not bool.
    """
    flags: torch.Tensor | None = tensordict.get(key, None)
    if flags is None:
        raise BatchError(
            f"the batch has no {unravel_key(key)!r}",
            "It says where the task ended, as against where time ran out (truncated); 'done' mixes the two, and taken "
            "in its place it would turn every time limit into a death. Store it with the transitions (all False where "
            "a task never ends).",
        )
    if flags.dtype is not torch.bool:
        raise BatchError(f"{unravel_key(key)!r} is {flags.dtype}, expected torch.bool")
    return flags


def row_values(batch: TensorDictBase, key: NestedKey, *, wanted: bool = False) -> torch.Tensor | None:
    """One number a transition, [*B] for the TensorDict's batch size [*B].

    Args:
        batch: may have the numbers as [*B] or [*B, 1].
        key: where they are.
        wanted: whether they must be there.

    Raises:
        BatchError: none there, though they must; or of another shape.
    """
    value: torch.Tensor | None = require(batch, key) if wanted else batch.get(key, None)
    if value is None:
        return None
    size = batch.batch_size
    if value.shape not in (size, (*size, 1)):
        raise BatchError(f"{unravel_key(key)!r} has shape {list(value.shape)}, expected {list(size)} or {[*size, 1]}")
    return value.reshape(size)
