"""Checkpoints of a run: everything a continuation needs, and the online transitions beside them.

``last.pt``, the one before it (``previous.pt``) and ``best.pt`` are files of :mod:`awac_tr.policies.checkpoint`, kind
``train``. What was collected online stands in ``checkpoints/online/``, in parts that are written once: a checkpoint
names the parts that belong to it, and costs no more when the run is long.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from tensordict import TensorDict

from awac_tr.errors import CheckpointError
from awac_tr.policies.archive import read_archive
from awac_tr.policies.checkpoint import read_checkpoint, save_checkpoint
from awac_tr.training.metrics import rows_before
from awac_tr.utils.atomic import cannot_write, rename, replacing

if TYPE_CHECKING:
    from awac_tr.training.run_folder import RunFolder

__all__ = ["OnlineParts", "Saved", "read_newest", "save_last"]

_log = logging.getLogger(__name__)
_SEPARATOR: Final = "/"


def save_last(folder: RunFolder, content: dict[str, Any]) -> None:
    """Write ``last.pt``; the one that was there becomes ``previous.pt``, and one of the two is whole at any moment.

    Raises:
        CheckpointError: it cannot be written; what was there stays.
    """
    fresh = save_checkpoint(folder.last.with_name("next.pt"), content)
    if folder.last.is_file():
        rename(folder.last, folder.previous)
    rename(fresh, folder.last)


@dataclass(frozen=True)
class Saved:
    """A checkpoint with all that it counts on.

    Attributes:
        path: the file.
        content: of it.
        transitions: collected online before it, in order.
        rows: of metrics before it, as far as they are there.
    """

    path: Path
    content: dict[str, Any]
    transitions: list[TensorDict]
    rows: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path, folder: RunFolder, parts: OnlineParts) -> Saved:
        """Read it.

        Raises:
            CheckpointError: it, or a part of the online transitions, is missing or damaged.
        """
        content = read_checkpoint(path, kind="train")
        where = content["progress"]
        rows = rows_before(folder.path, content["metrics_rows"], where["update"], where["env_step"])
        return cls(path, content, parts.read(content["online_parts"]), rows)

    @property
    def trouble(self) -> str:
        """What is said of rows that are lost; empty where none is."""
        wanted, there = self.content["metrics_rows"], len(self.rows)
        return "" if there == wanted else f"of the {wanted} rows of metrics before {self.path}, {there} are left"


def read_newest(folder: RunFolder, parts: OnlineParts) -> Saved | None:
    """The last checkpoint that can be read with all that it counts on; None: none was written yet.

    One whose rows of metrics are lost will do where there is none better; this is said.

    Raises:
        CheckpointError: there are some, and none can be read.
    """
    found: list[Saved] = []
    problems: list[CheckpointError] = []
    for path in (folder.last, folder.previous):
        if not path.is_file() or any(not saved.trouble for saved in found):
            continue
        try:
            found.append(Saved.read(path, folder, parts))
        except CheckpointError as error:
            problems.append(error)
    if problems and not found:
        raise problems[-1]
    if not found:
        return None
    best = next((saved for saved in found if not saved.trouble), found[0])
    missing = [] if folder.last.is_file() else [f"{folder.last} is missing"]
    for text in [*missing, *(error.message for error in problems), *(one.trouble for one in found if one.trouble)]:
        _log.warning("%s. Going on from %s.", text, best.path)
    return best


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
        for path in sorted(self._place.glob("[0-9]" * 6 + ".pt")) if self._place.is_dir() else []:
            if path.name not in known:
                _log.info("%s was written after the last checkpoint and is dropped", path)
                path.unlink()
        self.names = list(names)


def _save_tensors(path: Path, transitions: TensorDict) -> None:
    try:
        with replacing(path) as file:
            torch.save(dict(transitions.flatten_keys(_SEPARATOR).items()), file)
    except OSError as error:
        raise cannot_write(path, error, CheckpointError) from error


def _load_tensors(path: Path) -> TensorDict:
    tensors: dict[str, Any] = read_archive(path)
    try:
        flat = TensorDict(tensors, batch_size=[len(next(iter(tensors.values())))])
        return flat.unflatten_keys(_SEPARATOR)
    except Exception as error:  # names or shapes that fit no transitions
        raise CheckpointError(f"{path}, online transitions of this run, cannot be read: {error}") from error
