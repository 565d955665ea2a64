"""Formats by name, and which of them a file is."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from awac_tr.data.hdf5 import open_hdf5
from awac_tr.errors import DatasetError

if TYPE_CHECKING:
    import h5py

    from awac_tr.data.converters.outlet import Exporter
    from awac_tr.data.converters.recording import Reader

__all__ = ["EXPORTS", "HAND_DAPG", "IMPORTS", "detect", "exporter_of", "reader_of"]

_LOG = logging.getLogger(__name__)

HAND_DAPG: Final = "hand_dapg"
IMPORTS: Final = ("d4rl", "minari", HAND_DAPG, "robomimic", "lerobot")
"""Formats that can be imported."""

EXPORTS: Final = ("d4rl", "minari", "robomimic")
"""Formats that can be exported to."""

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_PICKLES: Final = (".pickle", ".pkl")
_NAME_IT: Final = "Name it with --format."


def reader_of(name: str) -> Reader:
    """The module that reads a format, imported now."""
    return cast("Reader", import_module(f"awac_tr.data.converters.{name}"))


def exporter_of(name: str) -> Exporter:
    """The module that writes a format, imported now."""
    return cast("Exporter", import_module(f"awac_tr.data.converters.{name}"))


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
    from awac_tr.data.converters.minari_place import is_id

    if is_id(source):
        return "minari"
    raise DatasetError(f"there is no file {source}", "A Minari id ends in a version, as D4RL/door/human-v2 does.")


def _folder(path: Path) -> str:
    if (path / "meta" / "info.json").is_file():
        return "lerobot"
    if any((folder / "metadata.json").is_file() for folder in (path, path / "data")):
        return "minari"
    hint = "Known folders are LeRobot's (meta/info.json) and Minari's (data/metadata.json)."
    raise DatasetError(f"{path} is a folder of no known format", hint)


def _file(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(len(_HDF5))
    if start == _HDF5:
        with open_hdf5(path) as file5:
            return _hdf5(path, file5)
    if path.suffix in _PICKLES or start[:1] == b"\x80":
        return HAND_DAPG
    raise DatasetError(f"{path} is a file of no known format", _NAME_IT)


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
    what = " and ".join(found) if found else "no known format"
    raise DatasetError(f"{path} looks like {what}: it holds {', '.join(list(file)[:8]) or 'nothing'}", _NAME_IT)


def _is_demo(name: str) -> bool:
    return name.startswith("demo")
