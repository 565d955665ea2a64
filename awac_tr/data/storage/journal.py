r"""An append-only file of records that is whole up to its last record, whatever ends the process that writes it.

HDF5 cannot be this: it keeps its index in memory and in pieces all over the file, so that a process that is killed
leaves a file nobody can open. Here each record is written at the end, in one go, and carries its own length and
checksum; what follows the last whole record is no record. A record is a small JSON head and arrays::

    mark "REC\n" | bytes of head, uint32 | bytes of body, uint64 | head | body | CRC-32 of all before, uint32

in little-endian. The head's ``arrays`` lists name, type and shape of the arrays, which lie one after another in the
body. Nothing in such a file is run.
"""

from __future__ import annotations

import json
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from awac_tr.data.format.hashing import canonical
from awac_tr.errors import DatasetError
from awac_tr.utils.atomic import sync_folder

__all__ = ["SIGNATURE", "SYNC_SECONDS", "Journal", "Record", "read_records"]

Array = np.ndarray[Any, Any]

SIGNATURE: Final = b"awac-tr-partial 1\n"
"""The first bytes of the file; the number is the format's version."""

SYNC_SECONDS: Final = 5.0
"""What a power cut may cost; a killed process loses nothing that was appended."""

_MARK: Final = b"REC\n"
_FRAME: Final = struct.Struct("<4sIQ")
_CHECKSUM: Final = struct.Struct("<I")
_MOST_HEAD: Final = 1 << 24
_KIND: Final = re.compile(r"[<|][fiub](1|2|4|8|16)")


@dataclass(frozen=True)
class Record:
    """One record: its head, arrays by name (empty where only heads were asked for), the offset of the byte after it."""

    head: dict[str, Any]
    arrays: dict[str, Array] = field(default_factory=dict)
    end: int = 0


class Journal:
    """Writes records, after so many bytes of the file that are kept, the end of a record; 0: begin anew.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        self._end = keep
        try:
            os.ftruncate(self._fd, keep)
            if not keep:
                self._write([SIGNATURE])
            self.sync()
            sync_folder(path.parent)
        except BaseException:
            os.close(self._fd)
            if not keep:
                path.unlink(missing_ok=True)
            raise

    def append(self, head: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> None:
        """Add a record of plain JSON and arrays of numbers; every few seconds wait until the disk has it all.

        Raises:
            OSError: it cannot be written; then it is not there, and those before it are.
        """
        bodies = {name: canonical(rows) for name, rows in (arrays or {}).items()}
        listed = [[name, rows.dtype.str, list(rows.shape)] for name, rows in bodies.items()]
        text = json.dumps({**head, "arrays": listed}).encode()
        size = sum(rows.nbytes for rows in bodies.values())
        pieces: list[Any] = [_FRAME.pack(_MARK, len(text), size), text]
        pieces += [rows.reshape(-1).view(np.uint8).data for rows in bodies.values() if rows.size]
        checksum = 0
        for piece in pieces:
            checksum = zlib.crc32(piece, checksum)
        self._write([*pieces, _CHECKSUM.pack(checksum)])
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def _write(self, pieces: list[Any]) -> None:
        end = self._end
        os.lseek(self._fd, end, os.SEEK_SET)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    written = os.write(self._fd, view)
                    view, end = view[written:], end + written
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._fd, self._end)
            raise
        self._end = end

    def sync(self) -> None:
        """Wait until the disk has everything; OSError where it has not."""
        os.fdatasync(self._fd)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Give the file back; what was appended stays."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)


def read_records(path: Path, *, bodies: bool = True) -> Iterator[Record]:
    """The whole records of a file, in order; an unfinished or damaged one is the end.

    The file may be a stranger's: nothing larger than it is asked for. With ``bodies`` arrays are read and checksums
    looked at, else only the heads.

    Raises:
        DatasetError: it is missing, of another format or of a newer version, or a whole record makes no sense.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            _require_signature(path, file.read(len(SIGNATURE)))
            while (record := _read(path, file, size, bodies=bodies)) is not None:
                yield record
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error


def _require_signature(path: Path, found: bytes) -> None:
    if SIGNATURE.startswith(found):  # cut short, it has no records
        return
    name, _, version = SIGNATURE.decode().partition(" ")
    if found.startswith(name.encode() + b" "):
        hint = "Use the version of awac-tr that wrote it, or remove it and begin anew."
        raise DatasetError(f"{path} is of another version of the format than {version.strip()}", hint)
    raise DatasetError(f"{path} is no unfinished collection of awac-tr")


def _read(path: Path, file: IO[bytes], size: int, *, bodies: bool) -> Record | None:
    """The record at the file's position; None where there is no whole one."""
    start = file.tell()
    frame = file.read(_FRAME.size)
    if len(frame) < _FRAME.size:
        return None
    mark, head_size, body_size = _FRAME.unpack(frame)
    end = start + _FRAME.size + head_size + body_size + _CHECKSUM.size
    if mark != _MARK or head_size > _MOST_HEAD or end > size:
        return None
    text = file.read(head_size)
    if not bodies:
        file.seek(end)
        return Record(_parsed(path, text), end=end)
    body = file.read(body_size)
    checksum = zlib.crc32(body, zlib.crc32(text, zlib.crc32(frame)))
    if file.read(_CHECKSUM.size) != _CHECKSUM.pack(checksum):
        return None
    head = _parsed(path, text)
    return Record(head, _arrays(path, head.get("arrays"), body), end)


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is damaged: a record has no head") from error
    if not isinstance(head, dict):
        raise DatasetError(f"{path} is damaged: a record has no head")
    return head


def _arrays(path: Path, listed: Any, body: bytes) -> dict[str, Array]:
    """Views of the body, which they have to fill exactly."""
    arrays: dict[str, Array] = {}
    offset = 0
    try:
        for name, kind, shape in listed:
            sizes = tuple(int(size) for size in shape)
            if not _KIND.fullmatch(str(kind)) or min(sizes, default=0) < 0:
                raise ValueError(f"{name} is {kind} of {shape}")  # noqa: TRY301  (said as all that makes no sense)
            arrays[str(name)] = np.ndarray(sizes, str(kind), body, offset)
            offset += arrays[str(name)].nbytes
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise DatasetError(f"{path} is damaged: the arrays of a record make no sense ({error})") from error
    if offset != len(body):
        raise DatasetError(f"{path} is damaged: a record is longer than its arrays")
    return arrays
