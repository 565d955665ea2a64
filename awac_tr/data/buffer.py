"""From dataset files into TorchRL's replay buffer, the one buffer of Algorithm 1."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.data import RandomSampler, TensorDictReplayBuffer

from awac_tr.data.goals import GOAL_ARRAYS, GoalArrays
from awac_tr.data.hindsight import Hindsight, goal_rule_of
from awac_tr.data.reader import Dataset, open_dataset
from awac_tr.data.storage import MappedRows, RowStorage
from awac_tr.data.validate import scan
from awac_tr.errors import DatasetError
from awac_tr.keys import DISK_TO_MEMORY, DONE, GOALS, OBSERVATION, TERMINATED, TRUNCATED

if TYPE_CHECKING:
    from awac_tr.envs.facts import EnvFacts
    from awac_tr.envs.goal_rule import GoalRule
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

Array = np.ndarray[Any, Any]

_LOG = logging.getLogger(__name__)
_CONSTANT: Final = 1e-6
_SUMMED_ROWS: Final = 1 << 13
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
    with ExitStack() as files:
        datasets = _open(files, paths)
        rows = _Rows(sum(dataset.n_transitions for dataset in datasets))
        _read(datasets, env, action_margin, rows.append)
        return rows.all


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
        datasets = _open(files, paths)
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
        _read(datasets, env, action_margin, buffer.extend, rule)
        return buffer


def _open(files: ExitStack, paths: Sequence[str | Path]) -> list[Dataset]:
    if not paths:
        raise DatasetError("no dataset was named")
    datasets = [files.enter_context(open_dataset(path)) for path in paths]
    _refuse_other_sizes(datasets)
    return datasets


def _refuse_other_sizes(datasets: Sequence[Dataset]) -> None:
    first = datasets[0]
    for dataset in datasets[1:]:
        for name in ("observations", "actions"):
            if dataset.shape(name)[1:] != first.shape(name)[1:]:
                sizes = f"{dataset.shape(name)[1]} numbers a row, {first.path} has {first.shape(name)[1]}"
                hint = "Files of one buffer come from one task."
                raise DatasetError(f"dataset {dataset.path}: {name} have {sizes}", hint)


def _read(
    datasets: Sequence[Dataset],
    env: EnvFacts | None,
    action_margin: float,
    take: Callable[[TensorDict], Any],
    rule: GoalRule | None = None,
) -> None:
    """Hand on all rows in their order, in blocks; with a goal rule, with their goals."""
    for dataset in datasets:
        passage = _Passage(dataset, action_margin, take, None if rule is None else GoalArrays(dataset, rule))
        scan(dataset, env=env, see=passage.see, further=() if rule is None else GOAL_ARRAYS)
        passage.report()


class _Passage:
    """Takes the blocks of one file, and hands them on as transitions."""

    def __init__(
        self, dataset: Dataset, margin: float, take: Callable[[TensorDict], Any], goals: GoalArrays | None
    ) -> None:
        self._rows, self._take = dataset.n_transitions, take
        self._pull, self._goals = _Pull(dataset, margin), goals

    def see(self, start: int, block: Mapping[str, Array]) -> None:
        arrays = {**block, "actions": self._pull(block["actions"])}
        if start + len(arrays["rewards"]) == self._rows:
            arrays["timeouts"] = arrays["timeouts"].copy()
            arrays["timeouts"][-1] |= not arrays["terminals"][-1]
        rows = as_tensordict(arrays)
        for name, goals in (self._goals(block) if self._goals is not None else {}).items():
            rows.set(GOALS[name], torch.from_numpy(goals))
        self._take(rows)

    def report(self) -> None:
        self._pull.report()
        if self._goals is not None:
            self._goals.report()


class _Rows:
    """A TensorDict of a known number of rows that is filled from its first row on."""

    def __init__(self, total: int) -> None:
        self._total, self._filled = total, 0
        self.all = TensorDict({}, batch_size=[total])

    def append(self, block: TensorDict) -> None:
        if not self._filled:
            self.all = block[:1].expand(self._total).apply(torch.empty_like)
        self.all[self._filled : self._filled + len(block)] = block
        self._filled += len(block)


class _Pull:
    """Pulls actions inside their bounds, and counts how many were moved."""

    def __init__(self, dataset: Dataset, margin: float) -> None:
        self._path, self._margin = dataset.path, margin
        self._low = np.asarray(dataset.meta.action_low, dtype=np.float32) + np.float32(margin)
        self._high = np.asarray(dataset.meta.action_high, dtype=np.float32) - np.float32(margin)
        self._moved = self._seen = 0

    def __call__(self, actions: Array) -> Array:
        if self._margin <= 0:
            return actions
        self._moved += int(((actions < self._low) | (actions > self._high)).sum())
        self._seen += actions.size
        return np.clip(actions, self._low, self._high)

    def report(self) -> None:
        if self._margin > 0:
            text = "%s: %d of %d action entries pulled %g inside the bounds"
            _LOG.info(text, self._path, self._moved, self._seen, self._margin)


def as_tensordict(arrays: Mapping[str, Array]) -> TensorDict:
    """The one place where disk names become memory keys; columns get a last axis of 1."""
    batch = TensorDict({}, batch_size=[len(arrays["rewards"])])
    for name, key in DISK_TO_MEMORY.items():
        tensor = torch.from_numpy(arrays[name])
        batch.set(key, tensor if tensor.ndim > 1 else tensor.unsqueeze(-1))
    batch.set(DONE, batch.get(TERMINATED) | batch.get(TRUNCATED))
    return batch


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
