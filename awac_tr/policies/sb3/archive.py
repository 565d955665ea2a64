"""The parts of a Stable-Baselines3 file that are data, read in memory: no code of the file is run, nothing unpacked.

An SB3 file is a zip. ``data`` is JSON in which whatever JSON cannot say stands as a pickle in base64 (never looked at
here), ``policy.pth`` is a state dictionary written by torch, itself a zip. Both zips come from strangers: sizes are
bounded before anything is read, names and checksums are looked at, and torch reads with ``weights_only``.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from awac_tr.errors import CheckpointError
from awac_tr.policies.archive import first_line, load_tensors
from awac_tr.utils.budget import PACKED, Budget

__all__ = ["read_data", "read_tensors", "refusal", "refuse"]

Array = NDArray[np.float32]

_MAX_FILE: Final = 1 << 30
_PRICE: Final = {"data": 24, "policy.pth": 1}
"""Bytes of memory for each byte of a part once it is read; JSON becomes as many as that."""
_MAX_NAMES: Final = 1000
_MAX_DIRECTORY: Final = 1 << 20
"""Bytes of a zip's table of contents; Python makes an object of each entry before anybody can count them."""

_ENCRYPTED: Final = 1


def refusal(path: Path, what: str, hint: str = "") -> CheckpointError:
    """The error that says what is wrong with a file."""
    return CheckpointError(f"{path} was not opened: {what}", hint or "give a policy saved by Stable-Baselines3.")


def refuse(path: Path, what: str, hint: str = "") -> NoReturn:
    """Say what is wrong with a file.

    Raises:
        CheckpointError: always.
    """
    raise refusal(path, what, hint)


def read_data(path: Path) -> dict[str, Any]:
    """The JSON object ``data`` of a file.

    Raises:
        CheckpointError: the file cannot be read, or has no such part.
    """
    try:
        data = json.loads(_member(path, "data"))
    except (ValueError, RecursionError) as error:
        raise refusal(path, f"its 'data' is not readable JSON ({type(error).__name__})") from error
    if not isinstance(data, dict):
        refuse(path, "its 'data' is not a JSON object")
    return data


def read_tensors(path: Path, ignored: tuple[str, ...]) -> dict[str, Array]:
    """The tensors of ``policy.pth`` as arrays [...] float32, without those whose names begin like one of ``ignored``.

    Raises:
        CheckpointError: the file cannot be read, has no such part, or that part holds something other than finite
            floating-point tensors.
    """
    raw = _member(path, "policy.pth")
    try:
        with _opened(path, io.BytesIO(raw), "policy.pth") as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                refuse(path, "its policy.pth is compressed, which torch never does")
            _budget(path).charge(sum(member.file_size for member in members), "its policy.pth")
            _refuse_flags(path, members)
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise refusal(path, f"its policy.pth is damaged, or not of torch 1.6 or later ({_line(error)})") from error
    if broken is not None:
        refuse(path, f"its policy.pth is damaged: {broken!a} does not match its checksum")
    return _arrays(path, _loaded(path, raw), ignored)


def _loaded(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        state = load_tensors(path, io.BytesIO(raw), _budget(path))
    except CheckpointError:
        raise
    except Exception as error:  # torch's reader fails in a dozen ways, all of them the file's fault
        raise refusal(
            path, f"its policy.pth holds more than tensors, or is damaged ({_line(error)}); nothing of it was run"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        refuse(path, "its policy.pth is not a dictionary of named tensors")
    return state


def _arrays(path: Path, state: dict[str, Any], ignored: tuple[str, ...]) -> dict[str, Array]:
    wanted = {name: value for name, value in state.items() if not name.startswith(ignored)}
    for name, value in wanted.items():
        if not _is_plain(value):
            refuse(path, f"its {name!a} is not a plain floating-point tensor")
    arrays = {name: value.detach().float().contiguous().numpy() for name, value in wanted.items()}
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        refuse(path, f"values that are not finite in {', '.join(map(ascii, broken[:3]))}: its training diverged")
    return arrays


def _is_plain(value: object) -> bool:
    if type(value) not in (Tensor, nn.Parameter) or not isinstance(value, Tensor):
        return False
    return value.layout is torch.strided and value.device.type == "cpu" and value.is_floating_point()


def _member(path: Path, name: str) -> bytes:
    """One part of the outer zip, with its checksum looked at."""
    if not path.is_file():
        raise CheckpointError(f"no policy at {path}")
    size = path.stat().st_size
    if size > _MAX_FILE:
        refuse(path, f"it has {size:,} bytes; policies are read up to {_MAX_FILE:,}")
    try:
        with path.open("rb") as file, _opened(path, file, "file") as archive:
            member = _found(path, archive, name)
            with archive.open(member) as stream:
                return stream.read()
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise refusal(path, f"it is no zip, truncated or damaged ({_line(error)})", "copy it again.") from error


def _found(path: Path, archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    names = archive.namelist()
    _refuse_names(path, names)
    if name not in names:
        refuse(path, f"it has no part {name!r}", "Stable-Baselines3 writes 'data' and 'policy.pth' into its files.")
    member = archive.getinfo(name)
    _refuse_flags(path, [member])
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        refuse(path, f"its {name} is compressed by method {member.compress_type}; known are stored and deflated")
    _budget(path).charge(_PRICE[name] * member.file_size, f"its {name}")
    return member


def _refuse_names(path: Path, names: Collection[str]) -> None:
    if len(set(names)) != len(names):
        refuse(path, "two of its parts have the same name")
    for name in names:
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            refuse(path, f"its part {name[:60]!a} points out of the archive")


def _refuse_flags(path: Path, members: Collection[zipfile.ZipInfo]) -> None:
    if any(member.flag_bits & _ENCRYPTED for member in members):
        refuse(path, "it is encrypted", "unpack it with its password, and zip it again without.")


def _budget(path: Path) -> Budget:
    return Budget(path, PACKED, CheckpointError)


def _opened(path: Path, file: IO[bytes], what: str) -> zipfile.ZipFile:
    """A zip whose table of contents is small enough to be read at all, by the numbers that ZipFile itself goes by."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # noqa: SLF001  (nothing public tells them before)
    if not end:
        raise zipfile.BadZipFile("no end of a zip")
    entries, directory = end[zipfile._ECD_ENTRIES_TOTAL], end[zipfile._ECD_SIZE]  # type: ignore[attr-defined]  # noqa: SLF001
    if entries > _MAX_NAMES or directory > _MAX_DIRECTORY:
        refuse(path, f"the table of contents of its {what} is far larger than a policy needs")
    return zipfile.ZipFile(file)


def _line(error: BaseException) -> str:
    return ascii(first_line(error))[1:-1]
