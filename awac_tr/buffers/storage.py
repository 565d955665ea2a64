"""Where a replay buffer keeps its rows: in memory, or in files that the system maps into it page by page."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from tensordict import TensorDictBase
from torchrl.data import LazyMemmapStorage, LazyTensorStorage

from awac_tr.errors import DatasetError
from awac_tr.keys import Key

__all__ = ["MappedRows", "RowStorage", "draw"]

_LOG = logging.getLogger(__name__)
_GIGABYTE: Final = 1e9


def _run_of(index: Any) -> slice | None:
    """The slice that an index of consecutive rows stands for; None for any other index."""
    if not isinstance(index, torch.Tensor) or index.ndim != 1 or not len(index):
        return None
    first, rows = int(index[0]), len(index)
    if int(index[-1]) - first != rows - 1 or not torch.equal(index, torch.arange(first, first + rows).to(index)):
        return None
    return slice(first, first + rows)


@contextmanager
def _without_notice() -> Iterator[None]:
    """Keep TorchRL from reporting the new storage on stdout, which belongs to results."""
    logger = logging.getLogger("torchrl")
    before = logger.level
    logger.setLevel(max(before, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(before)


def draw(below: int, count: int, generator: torch.Generator | None) -> torch.Tensor:
    """Whole numbers in [0, below), [count] int64, where the generator lives; without one, from torch's global one."""
    device = "cpu" if generator is None else generator.device
    return torch.randint(below, (count,), generator=generator, device=device)


class RowStorage(LazyTensorStorage):
    """TorchRL's storage in memory, with faster ways in and out: rows are copied whole instead of entry by entry."""

    _target: torch.device | None = None
    """Where rows that are read appear; None: where they are kept."""

    def _init(self, data: TensorDictBase) -> None:
        with _without_notice():
            super()._init(data)

    def get(self, index: Any) -> Any:
        """Rows by number."""
        if not isinstance(index, torch.Tensor) or index.ndim != 1 or index.dtype != torch.int64 or not self.initialized:
            return super().get(index)
        rows = self._storage.apply(lambda leaf: _plain(leaf).index_select(0, index), batch_size=index.shape)
        return rows if self._target is None else rows.to(self._target)

    def column(self, key: Key, index: torch.Tensor) -> torch.Tensor:
        """One entry of rows by number, [N] int64."""
        stored: Any = self._storage
        leaf = _plain(stored.get(key))
        found = leaf.index_select(0, index.to(leaf.device))
        return found if self._target is None else found.to(self._target)

    def set(self, cursor: Any, data: TensorDictBase, *, set_cursor: bool = True) -> None:
        """Put rows where the cursor says."""
        run = _run_of(cursor) if self.initialized else None
        super().set(cursor if run is None else run, data, set_cursor=set_cursor)


class MappedRows(RowStorage, LazyMemmapStorage):
    """TorchRL's storage in mapped files, for more rows than fit into memory.

    The files are reserved in full when the first rows come, so that a full disk is an error there and not a bus error
    later, and they lose their names at once: the system frees them when the process ends, whatever ends it.

    Args:
        max_size: rows.
        folder: existing folder on the disk to use.
        device: where samples appear; the rows stay on the disk.
    """

    def __init__(self, max_size: int, *, folder: Path, device: torch.device | str = "cpu") -> None:
        self._folder = folder
        self._target = None if torch.device(device).type == "cpu" else torch.device(device)
        super().__init__(max_size, scratch_dir=folder, existsok=True)

    def _init(self, data: TensorDictBase) -> None:
        scratch = None
        try:
            scratch = tempfile.mkdtemp(prefix=".awac-tr-buffer-", dir=self._folder)
            self.scratch_dir = scratch + "/"
            super()._init(data)
            size = _reserve(Path(scratch))
        except (OSError, RuntimeError) as error:
            self.initialized, self._storage = False, None
            raise self._refusal(data, error) from error
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)
        where = f"{size / _GIGABYTE:.2f} GB of the disk of {self._folder}"
        _LOG.info("the buffer lies in %s, freed when the process ends", where)

    def _refusal(self, row: TensorDictBase, error: Exception) -> DatasetError:
        wanted = self.max_size * sum(leaf.nbytes for leaf in row.values(include_nested=True, leaves_only=True))
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"a buffer of {self.max_size:,} rows, {wanted / _GIGABYTE:.3g} GB, cannot be made in {self._folder}"
        hint = "Name a folder on another disk with --scratch, or lower buffer.capacity."
        return DatasetError(f"{message}: {reason}", hint)

    def _rand_given_ndim(self, batch_size: int) -> torch.Tensor:
        """Row numbers [batch_size], drawn where the generator lives, so that they are those of a storage there."""
        return draw(len(self), batch_size, self._rng).cpu()


def _reserve(scratch: Path) -> int:
    """Have the disk set aside the bytes of all mapped files; how many."""
    total = 0
    for path in sorted(scratch.rglob("*.memmap")):
        size = path.stat().st_size
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        total += size
    return total


def _plain(leaf: torch.Tensor) -> torch.Tensor:
    """The mapped tensor without tensordict's class around it, whose every operation is dispatched in Python."""
    return leaf if type(leaf) is torch.Tensor else leaf.as_subclass(torch.Tensor)
