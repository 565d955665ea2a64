"""Datasets as TensorDicts: rows and episodes, read from the file when they are asked for."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, Self, SupportsIndex, cast, overload

import numpy as np
import torch
from tensordict import TensorDict

from awac_tr.data.format.spec import ARRAYS, INFOS
from awac_tr.keys import DISK_TO_MEMORY, DONE, EPISODE, INFO, SUCCESS, TERMINATED, TRUNCATED

__all__ = ["Episodes", "Index", "Transitions", "as_tensordict"]

Array = np.ndarray[Any, Any]
Index = Sequence[int] | Array | torch.Tensor
"""Several rows or episodes: their numbers, or a bool for each there is."""

_NEAR: Final = 1024
"""Rows no further apart are read in one piece: they mostly lie in one chunk, which HDF5 reads whole in any case."""
_BLOCK: Final = 1 << 13


def as_tensordict(arrays: Mapping[str, Array]) -> TensorDict:
    """The one place where disk names become memory keys; columns get a last axis of 1."""
    batch = TensorDict({}, batch_size=[len(arrays["rewards"])])
    for name, key in DISK_TO_MEMORY.items():
        batch.set(key, _column(arrays[name]))
    batch.set(DONE, batch.get(TERMINATED) | batch.get(TRUNCATED))
    return batch


def _column(values: Array) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))
    return tensor if tensor.ndim > 1 else tensor.unsqueeze(-1)


class _Source(Protocol):
    """What views take from a dataset; the dataset itself makes views."""

    @property
    def array_names(self) -> Sequence[str]: ...
    @property
    def n_transitions(self) -> int: ...
    @property
    def n_episodes(self) -> int: ...
    @property
    def episode_bounds(self) -> Array: ...
    def shape(self, name: str) -> tuple[int, ...]: ...
    def rows(self, name: str, start: int, stop: int) -> Array: ...
    def seed(self, episode: int) -> int: ...


class _View:
    """What both views share: the file, and which ``infos`` come along."""

    def __init__(self, dataset: _Source, infos: Sequence[str] = ()) -> None:
        self._dataset = dataset
        self._infos = tuple(infos)

    def _chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names, each checked to be there; all of the file where none is named."""
        there = [name.removeprefix(f"{INFOS}/") for name in self._dataset.array_names if name.startswith(f"{INFOS}/")]
        for name in names:
            self._dataset.shape(f"{INFOS}/{name}")
        return tuple(names or there)

    def _read(self, start: int, stop: int) -> TensorDict:
        """Rows ``start:stop`` as a TensorDict [stop - start]."""
        dataset = self._dataset
        arrays = {name: dataset.rows(name, start, stop) for name in ARRAYS}
        if stop == dataset.n_transitions and stop > start:
            arrays["timeouts"][-1] |= not arrays["terminals"][-1]
        rows = as_tensordict(arrays)
        for name in self._infos:
            key = SUCCESS if name == "success" else (INFO, name)
            rows.set(key, _column(dataset.rows(f"{INFOS}/{name}", start, stop)))
        return rows


class Transitions(_View):
    """The rows of a dataset, of length N; ``dataset.transitions``.

    An int gives one row, a TensorDict without batch size; a slice, numbers or a mask give a TensorDict [n] in that
    order. Its keys are those of training: ``observation``, ``action``, and ``observation``, ``reward``,
    ``terminated``, ``truncated``, ``done`` under ``next``; float32 [n, d] and bool [n, 1].

    Nothing is validated but the structure of the file: that is what :func:`awac_tr.data.load_transitions` and
    ``awac-tr data validate`` are for.
    """

    def __len__(self) -> int:
        return self._dataset.n_transitions

    def __getitem__(self, index: SupportsIndex | slice | Index) -> TensorDict:
        if not isinstance(index, slice) and np.ndim(cast("Any", index)) == 0:
            row = _position(index, len(self), "row")
            return self._read(row, row + 1)[0]
        if isinstance(index, slice):
            numbers = range(len(self))[index]
            if numbers.step == 1 or not numbers:
                return self._read(numbers.start, max(numbers.start, numbers.stop))
            return self._gather(np.asarray(numbers, dtype=np.int64))
        return self._gather(_numbers(index, len(self), "row"))

    def __iter__(self) -> Iterator[TensorDict]:
        """Row by row; the file is read in blocks."""
        for block in self.blocks():
            yield from block

    def blocks(self, rows: int = _BLOCK) -> Iterator[TensorDict]:
        """The whole file in its order, so many rows at a time; the last block may be shorter."""
        for start in range(0, len(self), rows):
            yield self._read(start, min(start + rows, len(self)))

    def including(self, *names: str) -> Self:
        """The same rows with arrays of ``infos`` beside: ``success`` under ``next``, others under ``info``.

        All come where none is named.

        Raises:
            DatasetError: the file has no such array.
        """
        return type(self)(self._dataset, self._chosen(names))

    def sample(self, rows: int, *, generator: torch.Generator | None = None) -> TensorDict:
        """Rows drawn uniformly, with replacement; read from the file each time."""
        return self._gather(torch.randint(len(self), (rows,), generator=generator).numpy())

    def _gather(self, numbers: Array) -> TensorDict:
        """Rows in any order, with repetitions: read in few pieces, then put in place."""
        if not len(numbers):
            return self._read(0, 0)
        wanted, places = np.unique(numbers, return_inverse=True)
        borders = np.flatnonzero((np.diff(wanted) > _NEAR) | (np.diff(wanted // _BLOCK) > 0)) + 1
        parts = []
        for piece in np.split(wanted, borders):
            start = int(piece[0])
            parts.append(self._read(start, int(piece[-1]) + 1)[torch.from_numpy(piece - start)])
        found: TensorDict = torch.cat(parts)[torch.from_numpy(places.reshape(-1))]
        return found


class Episodes(_View):
    """The episodes of a dataset, or some of them; ``dataset.episodes``.

    An int gives one episode, a TensorDict [T] with the keys of :class:`Transitions`; a slice, numbers or a mask give
    another view, of which nothing is read before it is used.
    """

    def __init__(self, dataset: _Source, infos: Sequence[str] = (), numbers: Array | None = None) -> None:
        super().__init__(dataset, infos)
        self.numbers = np.arange(dataset.n_episodes) if numbers is None else numbers
        """Their numbers in the file, [E] int64."""

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: SupportsIndex) -> TensorDict: ...
    @overload
    def __getitem__(self, index: slice | Index) -> Episodes: ...
    def __getitem__(self, index: SupportsIndex | slice | Index) -> TensorDict | Episodes:
        if not isinstance(index, slice) and np.ndim(cast("Any", index)) == 0:
            return self._read_episode(int(self.numbers[_position(index, len(self), "episode")]))
        chosen = index if isinstance(index, slice) else _numbers(index, len(self), "episode")
        return Episodes(self._dataset, self._infos, self.numbers[chosen])

    def __iter__(self) -> Iterator[TensorDict]:
        """One by one."""
        return (self._read_episode(int(number)) for number in self.numbers)

    def including(self, *names: str) -> Episodes:
        """As :meth:`Transitions.including`."""
        return Episodes(self._dataset, self._chosen(names), self.numbers)

    @property
    def lengths(self) -> Array:
        """Steps of each, [E] int64."""
        lengths: Array = np.diff(self._dataset.episode_bounds[self.numbers], axis=1)[:, 0]
        return lengths

    @property
    def seeds(self) -> Array:
        """Seeds their resets were given, [E] int64; -1 where there was none."""
        return np.array([self._dataset.seed(int(number)) for number in self.numbers], dtype=np.int64)

    def load(self) -> TensorDict:
        """All of them, one after the other, in a TensorDict [N].

        Returns:
            The keys of :class:`Transitions` and ``episode`` [N] int64, the number of each row's episode in the file:
            what TorchRL's ``SliceSampler`` tells trajectories by.
        """
        parts = [self._read(0, 0)]
        parts += list(self)
        rows: TensorDict = torch.cat(parts)
        return rows.set(EPISODE, torch.from_numpy(np.repeat(self.numbers, self.lengths)))

    def _read_episode(self, number: int) -> TensorDict:
        start, stop = self._dataset.episode_bounds[number]
        return self._read(int(start), int(stop))


def _position(index: Any, length: int, what: str) -> int:
    number = operator.index(index)
    if not -length <= number < length:
        raise IndexError(f"there are {length} {what}s, none of number {number}")
    return number % length


def _numbers(index: Any, length: int, what: str) -> Array:
    """Numbers in [0, length) of a sequence of numbers, or of a mask."""
    given = index.detach().cpu().numpy() if isinstance(index, torch.Tensor) else np.asarray(index)
    if given.dtype == bool:
        if given.shape != (length,):
            raise IndexError(f"a mask of shape {given.shape} for {length} {what}s")
        return np.flatnonzero(given)
    if given.size and (given.ndim != 1 or given.dtype.kind not in "iu"):
        raise IndexError(f"{what}s are chosen by a list of whole numbers, not by {given.dtype} of shape {given.shape}")
    numbers = given.reshape(-1).astype(np.int64)
    outside = numbers[(numbers < -length) | (numbers >= length)]
    if len(outside):
        raise IndexError(f"there are {length} {what}s, none of number {outside[0]}")
    return np.where(numbers < 0, numbers + length, numbers)
