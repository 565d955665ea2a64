"""What there is to know of a dataset file at a glance, as plain values: read once, in blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from awac_tr.data.format.spec import ARRAYS, EPISODES, FLAGS
from awac_tr.data.ops.compatibility import versions_of
from awac_tr.data.ops.lineage import lineage
from awac_tr.data.statistics.running import Bounded, RunningStatistics, Values
from awac_tr.data.storage.hdf5 import clear_errors, open_hdf5
from awac_tr.data.storage.listing import list_datasets
from awac_tr.data.storage.reader import Dataset, open_dataset
from awac_tr.data.storage.scan import scan_rows

__all__ = ["dataset_info", "list_datasets"]

Array = np.ndarray[Any, Any]

_PER_COLUMN: Final = ("observations", "actions")
_QUANTILES: Final = {"min": 0.0, "median": 0.5, "max": 1.0}


def dataset_info(path: str | Path) -> dict[str, Any]:
    """Origin, lineage, sizes and statistics of a dataset file.

    Every array is read once, block by block: memory does not grow with the file, but for a few numbers an episode.

    Args:
        path: an HDF5 file in our format, or any with D4RL's six arrays.

    Returns:
        Plain JSON values, of this shape (o and a: widths of observations and actions; d either of them):

        - ``path``; ``format_version`` (None for files of others); ``created``; ``content_hash`` (None for files of
          others); ``versions``: package -> version; ``meta``: see :class:`DatasetMeta`;
        - ``lineage``: see :class:`Ancestor`, nested;
        - ``transitions``, ``episodes``; ``terminals``, ``timeouts``: rows with the flag;
        - ``measures``: measure -> ``mean``, ``std``, ``min``, ``median``, ``max`` over episodes: length, return and,
          where recorded, the success measures;
        - ``rewards``: ``mean``, ``std``, ``min``, ``max``, and ``values``: a list of ``value``, ``count``, from the
          smallest up, or None where there are more than :data:`MAX_DISTINCT`;
        - ``actions``: ``low``, ``high`` [a] the bounds; ``at_low``, ``at_high`` [a] shares of the entries at them;
          ``saturation``: share of all entries at either;
        - ``dims``: ``observations`` and ``actions`` -> ``mean``, ``std``, ``min``, ``max`` [d], ``not_finite`` [d]
          (entries left out of the others) and ``constant``: numbers of the columns that never change;
        - ``arrays``: a list of ``name``, ``dtype``, ``shape``, ``min``, ``max``, ``stored`` (bytes on disk), ``bytes``
          (uncompressed) and ``compression`` (``none``, or its filters in words);
        - ``storage``: ``file``, the bytes of the file, ``memory``, those of all arrays uncompressed, and ``buffer``,
          those of the six arrays as a replay buffer takes them;
        - ``bytes``: of the file, as ever.

        Numbers that do not exist (the smallest of no numbers) are infinite or NaN here and null in ``--json``.

    Raises:
        DatasetError: the file cannot be read.
    """
    path = Path(path)
    with open_dataset(path) as dataset:
        seen = _Seen(dataset)
        measures = scan_rows(dataset, seen.names, seen)
        arrays = _arrays(dataset, seen)
        noted = {name: dataset.attributes.get(name) for name in ("format_version", "created", "content_hash")}
        return {
            "path": str(path),
            "bytes": path.stat().st_size,
            **noted,
            "versions": versions_of(dataset),
            "meta": asdict(dataset.meta),
            "lineage": asdict(lineage(path)),
            "transitions": dataset.n_transitions,
            "episodes": len(measures["length"]) if measures else 0,
            **seen.flags,
            "measures": {name: _spread(values) for name, values in measures.items()},
            "rewards": _rewards(seen),
            "actions": _actions(dataset, seen),
            "dims": {name: _columns(seen.moments[name]) for name in _PER_COLUMN},
            "arrays": arrays,
            "storage": _storage(path, dataset, arrays),
        }


class _Seen:
    """What the blocks of a file are counted into."""

    def __init__(self, dataset: Dataset) -> None:
        self.names = [name for name in dataset.array_names if not name.startswith(EPISODES + "/")]
        widths = {name: math.prod(dataset.shape(name)[1:]) for name in self.names}
        # Of optional arrays a range is shown, of ours every column: images are not taken apart.
        self.moments = {name: RunningStatistics(widths[name]) for name in (*_PER_COLUMN, "rewards")}
        self.ranges = {name: (math.inf, -math.inf) for name in self.names if name not in self.moments}
        self.values = Values()
        self.bounded = Bounded(dataset.meta.action_low, dataset.meta.action_high)
        self.flags = dict.fromkeys(FLAGS, 0)

    def __call__(self, _start: int, block: Mapping[str, Array]) -> None:
        for name, moments in self.moments.items():
            moments.feed(block[name].reshape(len(block[name]), -1))
        for name in self.ranges:
            self.ranges[name] = _wider(self.ranges[name], block[name])
        for name in self.flags:
            self.flags[name] += int(block[name].sum())
        self.values.feed(block["rewards"])
        self.bounded.feed(block["actions"])

    def range(self, name: str) -> tuple[float, float]:
        """Smallest and largest finite number of an array that was seen."""
        if name in self.ranges:
            return self.ranges[name]
        found = self.moments[name]
        return float(found.low.min(initial=math.inf)), float(found.high.max(initial=-math.inf))


def _wider(known: tuple[float, float], rows: Array) -> tuple[float, float]:
    """A range and the finite numbers of more rows."""
    if not rows.size:
        return known
    low, high = float(rows.min()), float(rows.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        finite = rows[np.isfinite(rows)]
        low, high = float(finite.min(initial=math.inf)), float(finite.max(initial=-math.inf))
    return min(known[0], low), max(known[1], high)


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    """Over the episodes whose value is finite; NaN where there is none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return dict.fromkeys(("mean", "std", *_QUANTILES), math.nan)
    quantiles = {name: float(np.quantile(finite, share)) for name, share in _QUANTILES.items()}
    return {"mean": float(finite.mean()), "std": float(finite.std()), **quantiles}


def _rewards(seen: _Seen) -> dict[str, Any]:
    found, counts = seen.moments["rewards"], seen.values.counts
    numbers = {"mean": found.mean, "std": found.std, "min": found.low, "max": found.high}
    values = None if counts is None else [{"value": value, "count": count} for value, count in counts.items()]
    return {name: float(value[0]) for name, value in numbers.items()} | {"values": values}


def _actions(dataset: Dataset, seen: _Seen) -> dict[str, Any]:
    low, high = seen.bounded.shares
    return {
        "low": list(dataset.meta.action_low),
        "high": list(dataset.meta.action_high),
        "at_low": low.tolist(),
        "at_high": high.tolist(),
        "saturation": float((low + high).mean()) if len(low) else 0.0,
    }


def _columns(moments: RunningStatistics) -> dict[str, Any]:
    return {
        "mean": moments.mean.tolist(),
        "std": moments.std.tolist(),
        "min": moments.low.tolist(),
        "max": moments.high.tolist(),
        "not_finite": moments.not_finite.tolist(),
        "constant": np.flatnonzero(moments.constant).tolist(),
    }


def _arrays(dataset: Dataset, seen: _Seen) -> list[dict[str, Any]]:
    """Type, shape, range and storage of every array."""
    found = []
    with open_hdf5(dataset.path) as file, clear_errors(dataset.path):
        for name in dataset.array_names:
            low, high = seen.range(name) if name in seen.names else _range_of(dataset, name)
            shape, kind = dataset.shape(name), dataset.dtype(name)
            found.append(
                {
                    "name": name,
                    "dtype": kind.name,
                    "shape": list(shape),
                    "min": low,
                    "max": high,
                    "stored": int(file[name].id.get_storage_size()),
                    "bytes": math.prod(shape) * kind.itemsize,
                    "compression": _compression(file[name]),
                }
            )
    return found


def _range_of(dataset: Dataset, name: str) -> tuple[float, float]:
    """Range of an array that has one row an episode."""
    found = (math.inf, -math.inf)
    for start, stop in dataset.spans(name):
        found = _wider(found, dataset.rows(name, start, stop))
    return found


def _compression(array: h5py.Dataset) -> str:
    """For example ``gzip 4, shuffled``; ``none`` where rows lie as they are."""
    filters = array.id.get_create_plist()
    names = [filters.get_filter(number)[3].decode("utf-8", "replace") for number in range(filters.get_nfilters())]
    words = [_FILTERS.get(name, name) for name in names if name not in ("shuffle", "fletcher32")]
    if array.compression == "gzip":
        words = [f"gzip {array.compression_opts}"]
    return ", ".join(words + (["shuffled"] if array.shuffle else [])) or "none"


_FILTERS: Final = {"deflate": "gzip", "scaleoffset": "scale-offset"}


def _storage(path: Path, dataset: Dataset, arrays: list[dict[str, Any]]) -> dict[str, int]:
    buffer = sum(math.prod(dataset.shape(name)) * np.dtype(kind).itemsize for name, kind in ARRAYS.items())
    return {"file": path.stat().st_size, "memory": sum(array["bytes"] for array in arrays), "buffer": buffer}
