"""Torch's files from strangers: what they claim is held against what they hold, before anything is made of it."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from torch import Tensor

from awac_tr.errors import CheckpointError
from awac_tr.recipes.schema import PolicySection
from awac_tr.utils.budget import OBJECT_PRICE, PLAIN, Budget
from awac_tr.utils.file_kinds import wrong_kind
from awac_tr.utils.unpickle import PlainUnpickler, RefusedError

__all__ = ["first_line", "load_tensors", "read_archive", "require_room"]

_AGAIN = "copy it again, or use an earlier one."
_TENSORS: Final = re.compile(r"torch\._utils\._rebuild_(tensor_v2|parameter)|torch(\.storage)?\.\w+Storage|torch\.Size")


def read_archive(path: Path) -> Any:
    """The content of a file as torch writes it: tensors on the CPU and plain data; nothing that stands in it is run.

    Raises:
        CheckpointError: missing, no archive, truncated, damaged, or holding more than such data.
    """
    _require_archive(path)
    try:
        return load_tensors(path, path, Budget(path, PLAIN, CheckpointError))
    except CheckpointError:
        raise
    except (RefusedError, UnpicklingError) as error:
        raise CheckpointError(
            f"{path} holds more than tensors and plain data and was not opened: doing so could run foreign code",
            f"checkpoints of awac-tr never need that. ({first_line(error)})",
        ) from error
    except Exception as error:  # damaged archives fail in a dozen ways, all of them the file's fault
        raise CheckpointError(f"{path} is damaged: {first_line(error)}", _AGAIN) from error


def first_line(error: BaseException) -> str:
    """What an error of others says, at most 200 characters of one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _require_archive(path: Path) -> None:
    """Refuse what is no zip as torch writes it, whole and with checksums that fit.

    Torch writes checksums and does not look at them when it reads, so a flipped bit would become a weight; and it never
    compresses, so what is compressed is small here and large in memory.
    """
    if not path.exists():
        hint = "checkpoints of a run stand in RUN/checkpoints/last.pt and best.pt."
        raise CheckpointError(f"no checkpoint at {path}", hint)
    if not path.is_file() or not zipfile.is_zipfile(path):
        _refuse_other(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise CheckpointError(f"{path} is compressed, which checkpoints never are: refused")
            sizes = sum(OBJECT_PRICE + member.file_size for member in archive.infolist())
            Budget(path, PLAIN, CheckpointError).charge(sizes, "its parts")
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error) as error:
        raise CheckpointError(f"{path} is damaged: {first_line(error)}", _AGAIN) from error
    if broken is not None:
        raise CheckpointError(f"{path} is damaged: {broken!a} does not match its checksum", _AGAIN)


def _refuse_other(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(4)
        if start[:1] == b"\x80":
            message = f"{path} is a bare pickle and was not opened: pickles can run foreign code"
            raise CheckpointError(message, "give a checkpoint written by awac-tr.")
        if start == b"PK\x03\x04":
            raise CheckpointError(f"{path} is truncated", _AGAIN)
    raise wrong_kind(CheckpointError, path, "checkpoint", "give a checkpoint written by awac-tr.")


def load_tensors(path: Path, source: Path | BytesIO, budget: Budget) -> Any:
    """What torch's file holds, tensors on the CPU; looked through before torch is let near it, and after.

    Raises:
        RefusedError: it holds more than tensors and plain data.
        CheckpointError: it stands for far more than it holds, or a tensor stretches a few stored numbers over a larger
            shape, as a few bytes could fill all memory.
        Exception: damaged archives fail in a dozen ways, all of them the file's fault.
    """
    reader = torch._C.PyTorchFileReader(str(source) if isinstance(source, Path) else source)  # noqa: SLF001
    _Inert(reader.get_record("data.pkl"), encoding="utf-8", persistent=True).load()
    if isinstance(source, BytesIO):
        source.seek(0)
    found = torch.load(source, map_location="cpu", weights_only=True)
    budget.charge_written_out(found, "what its lists and dicts hold", partial(_stored_bytes, path))
    return found


class _Inert(PlainUnpickler):
    """Goes through a pickle as torch would, and makes nothing of it: tensors and all else it names are empty."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" == "collections.OrderedDict":
            return _Named
        return _Tensor if _TENSORS.fullmatch(f"{module}.{name}") else self.refuse_name(module, name)

    def persistent_load(self, pid: Any) -> Any:
        return None


class _Named(dict[Any, Any]):
    """Stands for an OrderedDict, which torch makes empty and fills."""

    def __init__(self, *pairs: Any) -> None:
        super().__init__()
        if pairs:
            raise RefusedError("it holds an OrderedDict that is not made empty and then filled")

    def __setstate__(self, state: Any) -> None:
        """Versions of modules, which nothing reads."""


class _Tensor:
    """Stands for a tensor and its type."""

    def __init__(self, *arguments: Any) -> None:
        pass


def _stored_bytes(path: Path, value: object) -> int:
    """Bytes of a tensor; room for one number where it has none, along every axis."""
    if not isinstance(value, Tensor):
        return 0
    if value.layout is not torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(f"{path} holds a tensor of shape {tuple(value.shape)} without its numbers: refused")
    return math.prod(max(1, size) for size in value.shape) * value.element_size()


def require_room(spec: PolicySection, entry: Mapping[str, Any]) -> None:
    """Refuse a description of a larger network than the tensors of the checkpoint's ``policy`` part can fill.

    Raises:
        ValueError: they cannot.
        TypeError: sizes are no numbers.
    """
    sizes = (entry["observation_size"], *spec.hidden_sizes, entry["action_size"])
    described = sum(rows * columns for rows, columns in pairwise(sizes))
    stored = sum(value.numel() for value in entry["state"].values())
    if described > stored:
        raise ValueError(f"a network of {described:,} weights is described, {stored:,} numbers are stored")
