"""The formats of others: what their files are, the options that say anything about them, and which one a file is.

The help texts are made of this, and so is the refusal of an option that a format does not look at.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from awac_tr.errors import DatasetError
from awac_tr.utils.file_kinds import PICKLE, is_hdf5, kind_of

if TYPE_CHECKING:
    import h5py

__all__ = ["EXPORTS", "FORMATS", "IMPORTS", "Format", "detect", "list_formats", "module_of", "takers"]

_LOG = logging.getLogger(__name__)
_ALWAYS: Final = frozenset({"horizon", "relabel", "actions", "out_of_bounds"})
_PICKLES: Final = (".pickle", ".pkl")


@dataclass(frozen=True)
class Format:
    """A format that is read, perhaps also written.

    Attributes:
        files: what is imported, in words.
        options: fields of :class:`~awac_tr.data.convert.recording.ImportSettings` that an import of it looks at,
            beside the environment and the licence, which all do.
        exports: it can be written, too.
    """

    files: str
    options: frozenset[str]
    exports: bool = False


FORMATS: Final = {
    "d4rl": Format("D4RL's flat HDF5 file", _ALWAYS | {"reward", "dones", "ends"}, exports=True),
    "minari": Format("a Minari folder, or the ID of a Minari dataset", _ALWAYS, exports=True),
    "hand_dapg": Format("a pickle of hand_dapg, of which nothing is run", frozenset({"out_of_bounds"})),
    "robomimic": Format("robomimic's HDF5 file", _ALWAYS | {"reward", "obs_keys", "filter_key", "dones"}, exports=True),
    "lerobot": Format("a LeRobot v3 folder", _ALWAYS | {"reward", "obs_keys", "dones"}),
}
"""Formats by name; the module of that name in this package reads them."""

IMPORTS: Final = tuple(FORMATS)
"""Formats that can be imported."""

EXPORTS: Final = tuple(name for name, one in FORMATS.items() if one.exports)
"""Formats that can be exported to."""


def takers(option: str) -> tuple[str, ...]:
    """The formats whose import looks at an option; none where all do.

    >>> takers("filter_key")
    ('robomimic',)
    """
    found = tuple(name for name, one in FORMATS.items() if option in one.options)
    return () if len(found) == len(FORMATS) else found


def list_formats() -> str:
    """All formats that are read, for a message or a help text."""
    return ", ".join(f"{name} ({one.files})" for name, one in FORMATS.items())


def module_of(name: str) -> Any:
    """The module of a format, imported now.

    It has ``open_recording(source: str, settings: ImportSettings) -> AbstractContextManager[Recording]`` and, where the
    format is one of :data:`EXPORTS`, ``export(dataset: Dataset, out: str, *, overwrite: bool) -> list[str]``, which
    gives what is worth knowing in sentences.
    """
    return import_module(f"awac_tr.data.convert.{name}")


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
    found = _folder(path) if path.is_dir() else _file(path) if path.is_file() else _identifier(source)
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
    from awac_tr.data.storage.hdf5 import open_hdf5

    if is_hdf5(path):
        with open_hdf5(path) as file:
            return _hdf5(path, file)
    if path.suffix in _PICKLES or kind_of(path) == PICKLE:
        return "hand_dapg"
    raise _unknown(path)


def _unknown(path: Path, holds: str = "") -> DatasetError:
    message = f"{path} is of no format that is read: it looks like {kind_of(path).words}{holds}"
    return DatasetError(message, f"Read are {list_formats()}.")


def _hdf5(path: Path, file: h5py.File) -> str:
    if "format" in file.attrs:
        hint = "Use it as it is; awac-tr data export makes other formats of it."
        raise DatasetError(f"{path} is a dataset of ours already", hint)
    demos = file["data"] if "data" in file and hasattr(file["data"], "keys") else ()
    signs = {
        "d4rl": "observations" in file and "actions" in file,
        "robomimic": any(name.startswith("demo") for name in demos),
        "minari": "episode_0" in file,
    }
    found = [name for name, sign in signs.items() if sign]
    if len(found) == 1:
        return found[0]
    holds = ", ".join(list(file)[:8]) or "nothing"
    if not found:
        raise _unknown(path, f" that holds {holds}")
    raise DatasetError(f"{path} looks like {' and '.join(found)}: it holds {holds}", "Name it with --format.")
