"""Datasets: the file format, writing, reading, validating, importing, recording.

:mod:`awac_tr.buffers` has the way into a replay buffer. The public names are imported when they are first asked for, so
that looking at a path does not load HDF5 or torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from awac_tr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from awac_tr.data.format.meta import DatasetMeta as DatasetMeta
    from awac_tr.data.format.meta import Parent as Parent
    from awac_tr.data.recording.recorder import record as record
    from awac_tr.data.recording.torchrl_sink import DatasetSink as DatasetSink
    from awac_tr.data.storage.reader import Dataset as Dataset
    from awac_tr.data.storage.reader import open_dataset as open_dataset
    from awac_tr.data.storage.writer import DatasetWriter as DatasetWriter

_HOMES: Final = {
    "Dataset": "awac_tr.data.storage.reader",
    "DatasetMeta": "awac_tr.data.format.meta",
    "DatasetSink": "awac_tr.data.recording.torchrl_sink",
    "DatasetWriter": "awac_tr.data.storage.writer",
    "Parent": "awac_tr.data.format.meta",
    "open_dataset": "awac_tr.data.storage.reader",
    "record": "awac_tr.data.recording.recorder",
}

__all__ = list(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
