"""Checkpoints of a run: everything a continuation needs, and the online transitions beside them.

``last.pt``, the one before it (``previous.pt``) and ``best.pt`` are files of :mod:`awac_tr.policies.checkpoint`, kind
``train``. What was collected online stands in ``checkpoints/online/``, in parts that are written once: a checkpoint
names the parts that belong to it, and costs no more when the run is long.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from tensordict import TensorDict

from awac_tr.errors import CheckpointError
from awac_tr.policies.archive import require_archive, require_stored
from awac_tr.policies.checkpoint import read_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from awac_tr.training.run_folder import RunFolder

__all__ = ["OnlineParts", "read_newest", "save_last"]

_log = logging.getLogger(__name__)
_SEPARATOR: Final = "/"


def save_last(folder: RunFolder, content: dict[str, Any]) -> None:
    """Write ``last.pt``; the one that was there becomes ``previous.pt``, and one of the two is whole at any moment.

    Raises:
        CheckpointError: it cannot be written; what was there stays.
    """
    fresh = save_checkpoint(folder.last.with_name("next.pt"), content)
    if folder.last.is_file():
        folder.last.replace(folder.previous)
    fresh.replace(folder.last)


def read_newest(folder: RunFolder, parts: OnlineParts) -> tuple[dict[str, Any], list[TensorDict]] | None:
    """The last checkpoint that can be read, with its online transitions; None: none was written yet.

    Raises:
        CheckpointError: there are some, and none can be read.
    """
    found = [path for path in (folder.last, folder.previous) if path.is_file()]
    for path in found:
        try:
            content = read_checkpoint(path, kind="train")
            return content, parts.read(content["online_parts"])
        except CheckpointError as error:
            if path == found[-1]:
                raise
            _log.warning("%s. Going on from the checkpoint before it, %s.", error.message, found[-1])
    return None


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

    def read(self, names: list[str]) -> list[TensorDict]:
        """The parts of a checkpoint.

        Raises:
            CheckpointError: a part is missing or damaged.
        """
        return [_load_tensors(self._place / name) for name in names]

    def go_on_after(self, names: list[str]) -> None:
        """Number new parts after these, and remove those that were written later."""
        known = set(names)
        for path in sorted(self._place.glob("*.pt")) if self._place.is_dir() else []:
            if path.name not in known:
                _log.info("%s was written after the last checkpoint and is dropped", path)
                path.unlink()
        self.names = list(names)


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
    require_archive(path)
    try:
        tensors: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        require_stored(path, tensors)
        flat = {tuple(key.split(_SEPARATOR)): value for key, value in tensors.items()}
        return TensorDict(flat, batch_size=[len(next(iter(tensors.values())))])
    except Exception as error:  # damaged archives fail in a dozen ways
        raise CheckpointError(f"{path}, online transitions of this run, cannot be read: {error}") from error
