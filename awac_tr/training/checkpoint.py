"""Checkpoints of a run: everything a continuation needs, and the online transitions beside them.

``last.pt`` and ``best.pt`` are files of :mod:`awac_tr.policies.checkpoint`, kind ``train``. What was collected online
stands in ``checkpoints/online/``, in parts that are written once: a checkpoint names the parts that belong to it, and
costs no more when the run is long.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from tensordict import TensorDict

from awac_tr.errors import CheckpointError

if TYPE_CHECKING:
    from awac_tr.training.run_folder import RunFolder

__all__ = ["OnlineParts"]

_log = logging.getLogger(__name__)
_SEPARATOR: Final = "/"


class OnlineParts:
    """The online transitions of a run on disk, in the order they were collected.

    Args:
        folder: the run.

    Attributes:
        names: files written so far, in order.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._place: Path = folder.online
        self._pending: list[TensorDict] = []
        self.names: list[str] = []

    def add(self, transitions: TensorDict) -> None:
        """Keep transitions [N] for the next part."""
        self._pending.append(transitions)

    def flush(self) -> None:
        """Write what is pending as one part.

        Raises:
            CheckpointError: it cannot be written.
        """
        if not self._pending:
            return
        name = f"{len(self.names) + 1:06d}.pt"
        _save_tensors(self._place / name, torch.cat(self._pending))
        self.names.append(name)
        self._pending = []

    def restore(self, names: list[str]) -> list[TensorDict]:
        """Read the parts of a checkpoint; parts written after it are removed.

        Raises:
            CheckpointError: a part is missing or damaged.
        """
        parts = [_load_tensors(self._place / name) for name in names]
        known = set(names)
        for path in sorted(self._place.glob("*.pt")) if self._place.is_dir() else []:
            if path.name not in known:
                _log.info("%s was written after the last checkpoint and is dropped", path)
                path.unlink()
        self.names = list(names)
        return parts


def _save_tensors(path: Path, transitions: TensorDict) -> None:
    tensors = {
        _SEPARATOR.join(key) if isinstance(key, tuple) else key: value
        for key, value in transitions.items(include_nested=True, leaves_only=True)
    }
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(tensors, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise CheckpointError(f"could not write {path}: {error}", "is the disk full?") from error


def _load_tensors(path: Path) -> TensorDict:
    try:
        tensors: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        flat = {tuple(key.split(_SEPARATOR)): value for key, value in tensors.items()}
        return TensorDict(flat, batch_size=[len(next(iter(tensors.values())))])
    except Exception as error:  # damaged archives fail in a dozen ways
        raise CheckpointError(f"{path}, online transitions of this run, cannot be read: {error}") from error
