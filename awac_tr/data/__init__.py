"""Datasets: the file format, writing, reading, validating, importing, recording, and the way into a replay buffer.

The public names are imported when they are first asked for, so that looking at a path does not load HDF5 or torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from awac_tr.data.buffer import build_buffer as build_buffer
    from awac_tr.data.buffer import load_buffer as load_buffer
    from awac_tr.data.buffer import load_transitions as load_transitions
    from awac_tr.data.meta import DatasetMeta as DatasetMeta
    from awac_tr.data.meta import Parent as Parent
    from awac_tr.data.reader import Dataset as Dataset
    from awac_tr.data.reader import open_dataset as open_dataset
    from awac_tr.data.recorder import record as record
    from awac_tr.data.torchrl_sink import DatasetSink as DatasetSink
    from awac_tr.data.writer import DatasetWriter as DatasetWriter

_HOMES: Final = {
    "Dataset": "awac_tr.data.reader",
    "DatasetMeta": "awac_tr.data.meta",
    "DatasetSink": "awac_tr.data.torchrl_sink",
    "DatasetWriter": "awac_tr.data.writer",
    "Parent": "awac_tr.data.meta",
    "build_buffer": "awac_tr.data.buffer",
    "load_buffer": "awac_tr.data.buffer",
    "load_transitions": "awac_tr.data.buffer",
    "open_dataset": "awac_tr.data.reader",
    "record": "awac_tr.data.recorder",
}

__all__ = [
    "Dataset",
    "DatasetMeta",
    "DatasetSink",
    "DatasetWriter",
    "Parent",
    "build_buffer",
    "load_buffer",
    "load_transitions",
    "open_dataset",
    "record",
]


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
