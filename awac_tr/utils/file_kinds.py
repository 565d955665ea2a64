"""What a file or a folder looks like, by its first bytes, and what takes it: for messages about a wrong one."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from awac_tr.errors import AwacError

_Error = TypeVar("_Error", bound=AwacError)

__all__ = ["PICKLE", "FileKind", "is_hdf5", "kind_of", "wrong_kind"]

_IMPORT: Final = "awac-tr data import makes a dataset of it, if it knows the layout; its --help lists the formats."
_EVAL: Final = "awac-tr eval measures it."
_UNPACK: Final = "Unpack it first."
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK: Final = 512
"""HDF5 files may begin after 512, 1024, 2048 ... bytes of somebody else's."""
_HEAD: Final = 4096
_FEW: Final = 5


@dataclass(frozen=True)
class FileKind:
    """What a file looks like, and what to do with it, a sentence or nothing."""

    words: str
    advice: str = ""


PICKLE: Final = FileKind("a pickle", _IMPORT)

_STARTS: Final = (
    (b"\x93NUMPY", FileKind("a NumPy array (.npy)", _IMPORT)),
    (b"PAR1", FileKind("a Parquet file", _IMPORT)),
    (b"\x80", PICKLE),
    (b"ARROW1", FileKind("an Arrow file")),
    (b"MATLAB 5.0", FileKind("a MATLAB file of a version before 7.3", "MATLAB's save with -v7.3 writes HDF5.")),
    (b"SQLite format 3", FileKind("an SQLite database")),
    (b"\x1f\x8b", FileKind("a gzip archive", _UNPACK)),
    (b"BZh", FileKind("a bzip2 archive", _UNPACK)),
    (b"\xfd7zXZ", FileKind("an xz archive", _UNPACK)),
    (b"\x28\xb5\x2f\xfd", FileKind("a zstd archive", _UNPACK)),
    (b"version https://git-lfs", FileKind("a pointer of Git LFS, not the file itself", "git lfs pull fetches it.")),
    (b"<!doctype html", FileKind("a web page, perhaps of a failed download", "Download the file itself.")),
    (b"<html", FileKind("a web page, perhaps of a failed download", "Download the file itself.")),
)
_FOLDERS: Final = (
    ("metrics.jsonl", FileKind("a run folder", "Its policies are RUN/checkpoints/best.pt and last.pt.")),
    ("recipe.yaml", FileKind("a run folder", "Its policies are RUN/checkpoints/best.pt and last.pt.")),
    ("meta/info.json", FileKind("a LeRobot dataset", _IMPORT)),
    ("data/metadata.json", FileKind("a Minari dataset", _IMPORT)),
    ("metadata.json", FileKind("a Minari dataset", _IMPORT)),
    (".zgroup", FileKind("a Zarr store")),
    ("zarr.json", FileKind("a Zarr store")),
    ("features.json", FileKind("an RLDS dataset (TFRecord)")),
    ("dataset_dict.json", FileKind("a dataset of Hugging Face's datasets")),
    ("state.json", FileKind("a dataset of Hugging Face's datasets")),
)


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, at its start or after a user block, such as MATLAB writes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size, start = path.stat().st_size, 0
        while start + len(_HDF5) <= size:
            file.seek(start)
            if file.read(len(_HDF5)) == _HDF5:
                return True
            start = 2 * start or _USER_BLOCK
    return False


def kind_of(path: Path) -> FileKind:
    """What a path that exists looks like; OSError where it cannot be read."""
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        return FileKind("no file: a device or a pipe", "Copy what it gives into a file.")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if is_hdf5(path):
        return FileKind("an HDF5 file", "awac-tr data info shows a dataset.")
    if zipfile.is_zipfile(path):
        return _archive(path)
    known = [kind for start, kind in _STARTS if start in (head[: len(start)], head[: len(start)].lower())]
    return known[0] if known else _text(path, head)


def _archive(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return FileKind("a damaged zip archive")
    if "policy.pth" in names:
        return FileKind("a policy of Stable-Baselines3", "awac-tr eval measures it, with --env.")
    if any(name.endswith("/data.pkl") for name in names):
        return FileKind("a checkpoint, or another file of torch", _EVAL)
    if names and all(name.endswith(".npy") for name in names):
        return FileKind("NumPy arrays (.npz)", _IMPORT)
    return FileKind("a zip archive", _UNPACK)


def _text(path: Path, head: bytes) -> FileKind:
    if not head:
        return FileKind("an empty file")
    if b"\x00" in head or "\ufffd" in head[:-3].decode("utf-8", "replace"):
        return FileKind("binary data of an unknown kind")
    if path.suffix in (".yaml", ".yml"):
        return FileKind("a YAML file, as recipes are", "awac-tr recipes check looks at it.")
    return FileKind({".json": "a JSON file", ".jsonl": "a JSON file", ".csv": "a CSV file"}.get(path.suffix, "text"))


def _folder(path: Path) -> FileKind:
    for name, kind in _FOLDERS:
        if (path / name).exists():
            return kind
    names = sorted(item.name for item in path.iterdir())
    if any(name.endswith((".hdf5", ".h5")) for name in names):
        return FileKind("a folder of HDF5 files", f"Name one of them; awac-tr data list {path} shows the datasets.")
    more = ", ..." if len(names) > _FEW else ""
    return FileKind(f"a folder with {', '.join(names[:_FEW]) or 'nothing'}{more}")


def wrong_kind(error: type[_Error], path: Path, wanted: str, hint: str = "") -> _Error:
    """The error to raise about a file or a folder that is something else than what was asked for.

    The hint says what to do where the kind itself tells nothing.
    """
    try:
        kind = kind_of(path)
    except OSError as trouble:
        return error(f"{path} cannot be read: {trouble.strerror}")
    return error(f"{path} is no {wanted}: it looks like {kind.words}", kind.advice or hint)
