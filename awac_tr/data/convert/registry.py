"""Formats by name, and which of them a file is."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from awac_tr.data.convert.formats import IMPORTS, list_formats
from awac_tr.data.storage.hdf5 import open_hdf5
from awac_tr.errors import DatasetError
from awac_tr.utils.file_kinds import PICKLE, is_hdf5, kind_of

if TYPE_CHECKING:
    import h5py

    from awac_tr.data.convert.recording import Exporter, Reader

__all__ = ["HAND_DAPG", "detect", "exporter_of", "reader_of"]

_LOG = logging.getLogger(__name__)

HAND_DAPG: Final = "hand_dapg"
_PICKLES: Final = (".pickle", ".pkl")
_NAME_IT: Final = "Name it with --format."


def reader_of(name: str) -> Reader:
    """The module that reads a format, imported now."""
    return cast("Reader", import_module(f"awac_tr.data.convert.{name}"))


def exporter_of(name: str) -> Exporter:
    """The module that writes a format, imported now."""
    return cast("Exporter", import_module(f"awac_tr.data.convert.{name}"))


def detect(source: str, format_name: str = "auto") -> str:
    """Which format a file, folder or id is; said in the log where it was found out.

    Args:
        source: as the user wrote it.
        format_name: the name of a format, taken as it is; ``auto`` looks.

    Raises:
        DatasetError: there is no such file, or it is of no known format.
    """
    if format_name != "auto":
        if format_name not in IMPORTS:
            raise DatasetError(f"there is no format {format_name!r} to import", "There are " + ", ".join(IMPORTS) + ".")
        return format_name
    path = Path(source)
    if path.is_dir():
        found = _folder(path)
    elif path.is_file():
        found = _file(path)
    else:
        found = _identifier(source)
    _LOG.info("%s: read as %s", source, found)
    return found


def _identifier(source: str) -> str:
    from awac_tr.data.convert.minari_paths import is_id

    if is_id(source):
        return "minari"
    raise DatasetError(f"there is no file {source}", "A Minari id ends in a version, as D4RL/door/human-v2 does.")


def _folder(path: Path) -> str:
    if (path / "meta" / "info.json").is_file():
        return "lerobot"
    if any((folder / "metadata.json").is_file() for folder in (path, path / "data")):
        return "minari"
    raise _unknown(path)


def _file(path: Path) -> str:
    if is_hdf5(path):
        with open_hdf5(path) as file:
            return _hdf5(path, file)
    if path.suffix in _PICKLES or kind_of(path) == PICKLE:
        return HAND_DAPG
    raise _unknown(path)


def _unknown(path: Path, holds: str = "") -> DatasetError:
    message = f"{path} is of no format that is read: it looks like {kind_of(path).words}{holds}"
    return DatasetError(message, f"Read are {list_formats()}.")


def _hdf5(path: Path, file: h5py.File) -> str:
    if "format" in file.attrs:
        hint = "Use it as it is; awac-tr data export makes other formats of it."
        raise DatasetError(f"{path} is a dataset of ours already", hint)
    signs = {
        "d4rl": "observations" in file and "actions" in file,
        "robomimic": "data" in file and hasattr(file["data"], "keys") and any(_is_demo(name) for name in file["data"]),
        "minari": "episode_0" in file,
    }
    found = [name for name, sign in signs.items() if sign]
    if len(found) == 1:
        return found[0]
    holds = ", ".join(list(file)[:8]) or "nothing"
    if not found:
        raise _unknown(path, f" that holds {holds}")
    raise DatasetError(f"{path} looks like {' and '.join(found)}: it holds {holds}", _NAME_IT)


def _is_demo(name: str) -> bool:
    return name.startswith("demo")
