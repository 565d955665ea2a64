"""Torch's files from strangers: what they claim is held against what they hold, before anything is made of it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from awac_tr.errors import CheckpointError
from awac_tr.recipes.schema import PolicySection

__all__ = ["require_archive", "require_room", "require_stored"]

_AGAIN = "copy it again, or use an earlier one."


def require_archive(path: Path) -> None:
    """Refuse what is no zip as torch writes it, whole and with checksums that fit.

    Torch writes checksums and does not look at them when it reads, so a flipped bit would become a weight; and it never
    compresses, so what is compressed is small here and large in memory.

    Raises:
        CheckpointError: missing, no archive, truncated, damaged or compressed.
    """
    if not path.is_file():
        hint = "checkpoints of a run stand in RUN/checkpoints/last.pt and best.pt."
        raise CheckpointError(f"no checkpoint at {path}", hint)
    if not zipfile.is_zipfile(path):
        _refuse_other(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise CheckpointError(f"{path} is compressed, which checkpoints never are: refused")
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(f"{path} is damaged: {reason}", _AGAIN) from error
    if broken is not None:
        raise CheckpointError(f"{path} is damaged: {broken!a} does not match its checksum", _AGAIN)


def _refuse_other(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    if start[:1] == b"\x80":
        message = f"{path} is a bare pickle and was not opened: pickles can run foreign code"
        raise CheckpointError(message, "give a checkpoint written by awac-tr.")
    state = "is truncated" if start == b"PK\x03\x04" else "is not a checkpoint"
    raise CheckpointError(f"{path} {state}", "copy it again, or give a checkpoint written by awac-tr.")


def require_stored(path: Path, payload: object) -> None:
    """Refuse tensors that stretch a few stored numbers over a larger shape, as a few bytes could fill all memory.

    Raises:
        CheckpointError: there is one.
    """
    for tensor in _tensors(payload):
        if tensor.layout is not torch.strided or tensor.numel() * tensor.element_size() > _bytes(tensor):
            raise CheckpointError(f"{path} holds a tensor of shape {tuple(tensor.shape)} without its numbers: refused")


def _bytes(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().nbytes())


def _tensors(value: object) -> Iterator[Tensor]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, Mapping):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)


def require_room(spec: PolicySection, entry: Mapping[str, Any]) -> None:
    """Refuse a description of a larger network than the tensors beside it, before that network is made.

    Args:
        spec: the description.
        entry: the ``policy`` part of a checkpoint.

    Raises:
        ValueError: the tensors cannot fill it.
        TypeError: sizes are no numbers.
    """
    sizes = (entry["observation_size"], *spec.hidden_sizes, entry["action_size"])
    described = sum(rows * columns for rows, columns in pairwise(sizes))
    stored = sum(value.numel() for value in entry["state"].values())
    if described > stored:
        raise ValueError(f"a network of {described:,} weights is described, {stored:,} numbers are stored")
