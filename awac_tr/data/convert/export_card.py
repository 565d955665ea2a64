"""What an exported file carries along so that it comes back as the dataset it was."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from awac_tr.data.format.meta import DatasetMeta, meta_from_attributes
from awac_tr.data.format.spec import FORMAT, VERSION
from awac_tr.data.storage.hdf5 import array_of, clear_errors
from awac_tr.data.storage.reader import Dataset
from awac_tr.errors import DatasetError

__all__ = [
    "RECORDED_WITH",
    "ExportCard",
    "export_card_text",
    "read_export_card",
    "stored_card",
    "write_card",
    "write_text",
]

RECORDED_WITH: Final = "recorded_with"
"""Entry of ``extra``: versions under which the rows came about; ``versions`` has those of the import."""

_MAX_CHARACTERS: Final = 1 << 22


@dataclass(frozen=True)
class ExportCard:
    """What a dataset said about itself when it was exported, with the versions it was recorded under in ``extra``."""

    meta: DatasetMeta
    content_hash: str


def export_card_text(dataset: Dataset) -> str:
    """The attributes and the content hash of a dataset as JSON; empty for a file of others, which has none."""
    if not dataset.ours:
        return ""
    attributes = {name: _plain(value) for name, value in sorted(dataset.attributes.items())}
    return json.dumps({"format": FORMAT, "version": VERSION, "attributes": attributes})


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def read_export_card(where: str, text: str) -> ExportCard | None:
    """Read back the JSON that :func:`export_card_text` wrote; None where there is none.

    Raises:
        DatasetError: it is damaged, or of a newer version.
    """
    if not text:
        return None
    try:
        read = _checked(text)
        attributes = dict(read["attributes"])
        meta = meta_from_attributes(attributes)
        recorded = dict(json.loads(attributes.get("versions", "{}")))
    except (KeyError, TypeError, ValueError, RecursionError, DatasetError) as error:
        message = f"{where}: what awac-tr wrote about the dataset cannot be understood: {error}"
        raise DatasetError(message, "The file was edited, or a newer awac-tr wrote it.") from error
    extra = {RECORDED_WITH: recorded, **meta.extra}
    return ExportCard(dataclasses.replace(meta, extra=extra), str(attributes.get("content_hash", "")))


def _checked(text: str) -> dict[str, Any]:
    """The JSON object, of a format and version known here; ValueError otherwise."""
    read = json.loads(text) if len(text) <= _MAX_CHARACTERS else {}
    if read["format"] != FORMAT or not 1 <= int(read["version"]) <= VERSION:
        raise ValueError(f"format {read['format']!r}, version {read['version']!r}")
    return dict(read)


def write_text(file: h5py.File, name: str, text: str) -> None:
    """Store text as one HDF5 string of fixed length, which needs no heap."""
    raw = text.encode()
    kind = h5py.string_dtype("utf-8", max(1, len(raw)))
    file.create_dataset(name, data=np.array(raw, dtype=kind), dtype=kind)


def write_card(file: h5py.File, name: str, dataset: Dataset) -> bool:
    """Store a dataset's card under a name; False for a file of others, which has none."""
    text = export_card_text(dataset)
    if text:
        write_text(file, name, text)
    return bool(text)


def stored_card(path: Path, file: h5py.File, name: str) -> ExportCard | None:
    """The card as :func:`write_card` stores it; None where there is no text of that name.

    Raises:
        DatasetError: as :func:`read_export_card` does.
    """
    item = array_of(path, file, name)
    if item is None or item.dtype.kind != "S" or item.shape:
        return None
    with clear_errors(path):
        return read_export_card(str(path), bytes(item[()]).decode("utf-8", "replace"))
