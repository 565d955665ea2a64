"""From dataset files into TorchRL's replay buffer, the one buffer of Algorithm 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from tensordict import TensorDictBase
from torchrl.data import RandomSampler, TensorDictReplayBuffer

from awac_tr.data.hindsight import Hindsight, goal_rule_of
from awac_tr.data.loading import as_tensordict, load_transitions, open_all, read_rows
from awac_tr.data.storage import MappedRows, RowStorage
from awac_tr.errors import DatasetError
from awac_tr.keys import DISK_TO_MEMORY, DONE, GOALS, OBSERVATION

if TYPE_CHECKING:
    from awac_tr.envs.facts import EnvFacts
    from awac_tr.recipes.schema import HindsightSection

__all__ = [
    "TransitionBuffer",
    "as_tensordict",
    "build_buffer",
    "load_buffer",
    "load_transitions",
    "observation_statistics",
    "select_transitions",
]

_CONSTANT: Final = 1e-6
_SUMMED_ROWS: Final = 1 << 13
_KEYS: Final = (*DISK_TO_MEMORY.values(), DONE)


def load_buffer(
    paths: Sequence[str | Path],
    capacity: int,
    batch_size: int | None = None,
    *,
    env: EnvFacts | None = None,
    action_margin: float = 0.0,
    storage: Literal["memory", "memmap"] = "memory",
    folder: str | Path = ".",
    growth: int | None = None,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
    hindsight: HindsightSection | None = None,
) -> TransitionBuffer:
    """Read and validate dataset files straight into a replay buffer, block by block.

    Beside the buffer there is never more than a block of rows in memory, so with ``storage="memmap"`` the files may be
    larger than the memory.

    Args:
        paths: as of :func:`load_transitions`.
        capacity: as of :func:`build_buffer`.
        batch_size: as of :func:`build_buffer`.
        env: as of :func:`load_transitions`.
        action_margin: as of :func:`load_transitions`.
        storage: where rows are kept: in memory on the device, or in mapped files.
        folder: for the mapped files; nothing of them is left there.
        growth: rows that will be added at most, so that mapped files take no more of the disk; None: to the capacity.
        device: where samples appear.
        generator: as of :func:`build_buffer`.
        hindsight: shares of goals to replace in samples, see :mod:`awac_tr.data.hindsight`; the rows then hold the
            goals of the files too. None, or all kept: samples are rows.

    Raises:
        DatasetError: as of :func:`load_transitions`; or the buffer is too small, or the disk; or the files have no
            goals, or rewards that do not follow from them.
        RecipeError: ``hindsight`` without a goal environment.
    """
    rule = goal_rule_of(env) if hindsight is not None and hindsight.relabels else None
    with ExitStack() as files:
        datasets = open_all(files, paths)
        rows = sum(dataset.n_transitions for dataset in datasets)
        _refuse_too_many(rows, capacity)
        size = capacity if growth is None else min(capacity, rows + growth)
        rows_of = (
            MappedRows(size, folder=Path(folder), device=device)
            if storage == "memmap"
            else RowStorage(capacity, device=device)
        )
        relabel = None
        if rule is not None and hindsight is not None:
            where = "cpu" if storage == "memmap" else device
            relabel = Hindsight(rule, hindsight, rows_of.max_size, device=where)
        buffer = _empty(rows_of, batch_size, generator, relabel)
        read_rows(datasets, env, action_margin, buffer.extend, rule)
        return buffer


def select_transitions(data: TensorDictBase, *, goals: bool = False) -> TensorDictBase:
    """Our seven keys of any batch of transitions, as rows; whatever else a collector adds is left behind.

    Args:
        data: TensorDict with those keys, of any batch size ([N], [environments, T] ...).
        goals: keep the three keys of goals as well.

    Returns:
        A new TensorDict of batch size [N] that shares the tensors; ``data`` is not changed.

    Raises:
        KeyError: one of the keys is missing; ``terminated`` is never guessed from ``done``.
    """
    return data.select(*_KEYS, *(GOALS.values() if goals else ()), strict=True).reshape(-1)


class TransitionBuffer(TensorDictReplayBuffer):
    """A TorchRL buffer of transitions that takes what a collector gives and keeps :func:`select_transitions` of it.

    Args:
        hindsight: replaces goals in samples; what ``buffer[...]`` reads stays as it was recorded.
        **options: of TorchRL's buffer.
    """

    def __init__(self, *, hindsight: Hindsight | None = None, **options: Any) -> None:
        self._hindsight = hindsight
        super().__init__(**options)

    def extend(self, tensordicts: TensorDictBase, *, update_priority: bool | None = None) -> torch.Tensor:
        """Add transitions.

        Args:
            tensordicts: batch of transitions of any batch size, with any other keys. With hindsight they have goals,
                and tell their episodes as :meth:`Hindsight.note` says.
            update_priority: as in TorchRL.

        Returns:
            Where the rows went, [N] int64. Of more rows than the buffer holds only the newest are written.
        """
        rows = select_transitions(tensordicts, goals=self._hindsight is not None)[-self._storage.max_size :]
        index: torch.Tensor = super().extend(rows, update_priority=update_priority)
        if self._hindsight is not None:
            self._hindsight.note(index, tensordicts)
        return index

    def _sample(self, batch_size: int) -> tuple[Any, dict[str, Any]]:
        batch, info = super()._sample(batch_size)
        if self._hindsight is not None:
            self._hindsight.relabel(batch, info["index"], self._storage, self._rng)
        return batch, info


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
    _refuse_too_many(len(transitions), capacity)
    buffer = _empty(RowStorage(capacity, device=device), batch_size, generator)
    buffer.extend(transitions)
    return buffer


def _refuse_too_many(rows: int, capacity: int) -> None:
    if rows > capacity:
        message = f"{rows:,} transitions do not fit into a buffer of {capacity:,}"
        raise DatasetError(message, "Raise buffer.capacity, or load less.")


def _empty(
    storage: RowStorage | MappedRows,
    batch_size: int | None,
    generator: torch.Generator | None,
    hindsight: Hindsight | None = None,
) -> TransitionBuffer:
    return TransitionBuffer(
        storage=storage, sampler=RandomSampler(), batch_size=batch_size, generator=generator, hindsight=hindsight
    )


def observation_statistics(transitions: TensorDictBase | TransitionBuffer) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each observation entry, summed in float64, block by block.

    Args:
        transitions: batch or buffer with ``observation`` [N, o].

    Returns:
        (mean [o], deviation [o]), float32. An entry that does not vary (deviation below 1e-6) gets deviation 1, so that
        standardising only centres it.
    """
    rows = len(transitions)

    def blocks() -> Iterator[torch.Tensor]:
        for start in range(0, rows, _SUMMED_ROWS):
            yield transitions[start : start + _SUMMED_ROWS].get(OBSERVATION).double()

    mean = sum(block.sum(dim=0) for block in blocks()) / rows
    variance = sum(((block - mean) ** 2).sum(dim=0) for block in blocks()) / rows
    deviation = torch.as_tensor(variance).sqrt()
    deviation = torch.where(deviation < _CONSTANT, torch.ones_like(deviation), deviation)
    return torch.as_tensor(mean).float(), deviation.float()
