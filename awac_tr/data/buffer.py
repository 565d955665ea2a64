"""From dataset files into TorchRL's replay buffer, the one buffer of Algorithm 1."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.data import LazyTensorStorage, RandomSampler, TensorDictReplayBuffer

from awac_tr.data.format import ARRAYS
from awac_tr.data.reader import Dataset, open_dataset
from awac_tr.data.validate import scan
from awac_tr.errors import DatasetError
from awac_tr.keys import DISK_TO_MEMORY, DONE, OBSERVATION, TERMINATED, TRUNCATED

if TYPE_CHECKING:
    from awac_tr.envs.facts import EnvFacts

__all__ = ["TransitionBuffer", "build_buffer", "load_transitions", "observation_statistics", "select_transitions"]

_LOG = logging.getLogger(__name__)
_CONSTANT: Final = 1e-6
_KEYS: Final = (*DISK_TO_MEMORY.values(), DONE)


def load_transitions(
    paths: Sequence[str | Path], *, env: EnvFacts | None = None, action_margin: float = 0.0
) -> TensorDict:
    """Read and validate dataset files into one TensorDict.

    Args:
        paths: files, in the order their rows shall have.
        env: environment they must fit; None: only that they fit each other.
        action_margin: actions are pulled this far inside their bounds; 0: left as they are.

    Returns:
        TensorDict of batch size [N]: ``observation``, ``action``, ``("next", "observation")`` float32 [N, d],
        ``("next", "reward")`` float32 [N, 1], ``terminated``, ``truncated``, ``done`` under ``next`` bool [N, 1].

    Raises:
        DatasetError: a file cannot be read or does not pass validation, sizes disagree, or ``paths`` is empty.
    """
    if not paths:
        raise DatasetError("no dataset was named")
    with ExitStack() as files:
        datasets = [files.enter_context(open_dataset(path)) for path in paths]
        _refuse_other_sizes(datasets)
        return _read(datasets, env, action_margin)


def _refuse_other_sizes(datasets: Sequence[Dataset]) -> None:
    first = datasets[0]
    for dataset in datasets[1:]:
        for name in ("observations", "actions"):
            if dataset.shape(name)[1:] != first.shape(name)[1:]:
                sizes = f"{dataset.shape(name)[1]} numbers a row, {first.path} has {first.shape(name)[1]}"
                hint = "Files of one buffer come from one task."
                raise DatasetError(f"dataset {dataset.path}: {name} have {sizes}", hint)


def _read(datasets: Sequence[Dataset], env: EnvFacts | None, action_margin: float) -> TensorDict:
    total = sum(dataset.n_transitions for dataset in datasets)
    arrays = {name: np.empty((total, *datasets[0].shape(name)[1:]), dtype=kind) for name, kind in ARRAYS.items()}
    start = 0
    for dataset in datasets:
        stop = start + dataset.n_transitions
        part = {name: array[start:stop] for name, array in arrays.items()}
        scan(dataset, env=env, out=part)
        part["timeouts"][-1] |= not part["terminals"][-1]
        _pull_inside(part["actions"], dataset, action_margin)
        start = stop
    return _as_tensordict(arrays)


def _pull_inside(actions: np.ndarray[Any, Any], dataset: Dataset, margin: float) -> None:
    """Pull actions inside their bounds, in place, and say how many were moved."""
    if margin <= 0:
        return
    low = np.asarray(dataset.meta.action_low, dtype=np.float32) + np.float32(margin)
    high = np.asarray(dataset.meta.action_high, dtype=np.float32) - np.float32(margin)
    moved = int(((actions < low) | (actions > high)).sum())
    np.clip(actions, low, high, out=actions)
    _LOG.info("%s: %d of %d action entries pulled %g inside the bounds", dataset.path, moved, actions.size, margin)


def _as_tensordict(arrays: dict[str, np.ndarray[Any, Any]]) -> TensorDict:
    """The one place where disk names become memory keys; columns get a last axis of 1."""
    batch = TensorDict({}, batch_size=[len(arrays["rewards"])])
    for name, key in DISK_TO_MEMORY.items():
        tensor = torch.from_numpy(arrays[name])
        batch.set(key, tensor if tensor.ndim > 1 else tensor.unsqueeze(-1))
    batch.set(DONE, batch.get(TERMINATED) | batch.get(TRUNCATED))
    return batch


def select_transitions(data: TensorDictBase) -> TensorDictBase:
    """Our seven keys of any batch of transitions, as rows; whatever else a collector adds is left behind.

    Args:
        data: TensorDict with those keys, of any batch size ([N], [environments, T] ...).

    Returns:
        A new TensorDict of batch size [N] that shares the tensors; ``data`` is not changed.

    Raises:
        KeyError: one of the keys is missing; ``terminated`` is never guessed from ``done``.
    """
    return data.select(*_KEYS, strict=True).reshape(-1)


class _RowStorage(LazyTensorStorage):
    """TorchRL's storage with a faster way to get rows: they are copied whole instead of entry by entry."""

    def get(self, index: Any) -> Any:
        if not isinstance(index, torch.Tensor) or index.ndim != 1 or index.dtype != torch.int64 or not self.initialized:
            return super().get(index)
        return self._storage.apply(lambda leaf: leaf.index_select(0, index), batch_size=index.shape)


class TransitionBuffer(TensorDictReplayBuffer):
    """A TorchRL buffer of transitions that takes what a collector gives and keeps :func:`select_transitions` of it."""

    def extend(self, tensordicts: TensorDictBase, *, update_priority: bool | None = None) -> torch.Tensor:
        """Add transitions.

        Args:
            tensordicts: batch of transitions of any batch size, with any other keys.
            update_priority: as in TorchRL.

        Returns:
            Where the rows went, [N] int64.
        """
        index: torch.Tensor = super().extend(select_transitions(tensordicts), update_priority=update_priority)
        return index


def build_buffer(
    transitions: TensorDictBase,
    capacity: int,
    batch_size: int | None = None,
    *,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> TransitionBuffer:
    """A replay buffer on a device, filled with transitions.

    Args:
        transitions: what :func:`load_transitions` returned.
        capacity: rows the buffer holds; the oldest are overwritten after that.
        batch_size: rows of a sample; None: said at every ``sample(rows)``.
        device: where rows are kept and samples appear.
        generator: source of randomness of the sampler, on the same device; None: torch's global one.

    Raises:
        DatasetError: there are more transitions than the buffer holds.
    """
    if len(transitions) > capacity:
        message = f"{len(transitions):,} transitions do not fit into a buffer of {capacity:,}"
        raise DatasetError(message, "Raise buffer.capacity, or load less.")
    buffer = TransitionBuffer(
        storage=_RowStorage(capacity, device=device),
        sampler=RandomSampler(),
        batch_size=batch_size,
        generator=generator,
    )
    buffer.extend(transitions)
    return buffer


def observation_statistics(transitions: TensorDictBase) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each observation entry, summed in float64.

    Args:
        transitions: batch with ``observation`` [N, o].

    Returns:
        (mean [o], deviation [o]), float32. An entry that does not vary (deviation below 1e-6) gets deviation 1, so that
        standardising only centres it.
    """
    observations = transitions.get(OBSERVATION).double()
    mean, deviation = observations.mean(dim=0), observations.std(dim=0, correction=0)
    deviation = torch.where(deviation < _CONSTANT, torch.ones_like(deviation), deviation)
    return mean.float(), deviation.float()
