"""Reading datasets: lazily, whole or by episode, ours and those of others (D4RL-flat HDF5)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import h5py
import numpy as np

from awac_tr.data.format.findings import Finding, report
from awac_tr.data.format.hashing import ArrayHash, content_hash, describe
from awac_tr.data.format.meta import DatasetMeta, meta_from_attributes
from awac_tr.data.format.spec import ARRAYS, FLAGS, FOREIGN, HASH_ATTRIBUTE, INFOS, SEEDS
from awac_tr.data.storage.hdf5 import clear_errors, open_hdf5, read_attributes, read_text
from awac_tr.data.storage.structure import find_arrays, is_ours, structure_findings
from awac_tr.errors import DatasetError

if TYPE_CHECKING:
    import torch
    from tensordict import TensorDict

    from awac_tr.data.storage.views import Episodes, Transitions
    from awac_tr.envs.episode import Episode

__all__ = ["BLOCK_BYTES", "BLOCK_ROWS", "Dataset", "open_dataset"]

Array = np.ndarray[Any, Any]

BLOCK_ROWS: Final = 1 << 15
"""Rows read at a time when a whole file is gone through; fewer where they are wide, see :data:`BLOCK_BYTES`."""

BLOCK_BYTES: Final = 1 << 23
"""About as much of a file is in memory at a time when it is gone through."""


class Dataset:
    """An open dataset file; nothing is read before it is asked for.

    Attributes:
        path: the file.
        ours: True in our format, False for a file of others without our attributes.
        attributes: root attributes as they stand.
        meta: what the file says about itself; defaults (said in the log) where the file is of others.
        findings: about its structure; :func:`open_dataset` hands out only files without errors among them.

    Raises:
        DatasetError: missing, truncated, no HDF5, leading out of itself, of a newer version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path)
        try:
            self.attributes = read_attributes(self.path, self._file)
            self.ours = is_ours(self.path, self.attributes)
            with clear_errors(self.path):
                self._arrays = find_arrays(self.path, self._file, ours=self.ours)
                findings = structure_findings(self._arrays, self.attributes, ours=self.ours)
            self.meta = self._read_meta()
            self.findings: list[Finding] = findings + self._bounds_findings()
        except BaseException:
            self._file.close()
            raise

    def _read_meta(self) -> DatasetMeta:
        if self.ours:
            try:
                return meta_from_attributes(self.attributes)
            except DatasetError as error:
                raise DatasetError(f"dataset {self.path}: {error.message}", error.hint) from error
        actions = self._arrays.get("actions")
        size = actions.shape[-1] if actions is not None and actions.ndim else 0
        return DatasetMeta(env_id="", source="unknown", action_low=[-1.0] * size, action_high=[1.0] * size)

    def _bounds_findings(self) -> list[Finding]:
        if not self.ours:
            return [Finding("note", "foreign", "attributes", FOREIGN)]
        found, actions = len(self.meta.action_low), self._arrays.get("actions")
        if actions is None or not actions.ndim or actions.shape[-1] == found:
            return []
        message = f"bounds of {found} numbers, actions has rows of {actions.shape[-1]}"
        return [Finding("error", "bounds", "action_low", message, "The file was changed after it was written.")]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def n_transitions(self) -> int:
        """Rows, N."""
        return int(self._arrays["observations"].shape[0])

    @property
    def array_names(self) -> list[str]:
        """Names of all arrays: the six, ``infos/...``, ``episodes/...``."""
        return list(self._arrays)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array on disk."""
        return tuple(self._named(name).shape)

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of an array on disk."""
        found: np.dtype[Any] = self._named(name).dtype
        return found

    def _named(self, name: str) -> h5py.Dataset:
        if name not in self._arrays:
            raise DatasetError(f"dataset {self.path} has no array {name!r}", "It has " + ", ".join(self._arrays) + ".")
        return self._arrays[name]

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows ``start:stop`` of an array; the six in the types of the format, others as they are on disk."""
        read = self._raw_rows(name, start, stop)
        with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and validation says so
            return read.astype(ARRAYS[name], copy=False) if name in ARRAYS else read

    def _raw_rows(self, name: str, start: int, stop: int | None) -> Array:
        array = self._named(name)
        with clear_errors(self.path):
            return np.asarray(array[start:stop])

    def arrays(self, names: Iterable[str]) -> dict[str, Array]:
        """Whole arrays by name."""
        return {name: self.rows(name) for name in names}

    def spans(self, *names: str) -> Iterator[tuple[int, int]]:
        """(first row, row after the last) of the blocks that arrays are read in."""
        rows = (self.shape(names[0]) or (0,))[0] if names else 0
        wide = sum(self.dtype(name).itemsize * math.prod(self.shape(name)[1:]) for name in names)
        step = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, wide)))
        for start in range(0, rows, step):
            yield start, min(start + step, rows)

    def blocks(self, names: Iterable[str]) -> Iterator[tuple[int, dict[str, Array]]]:
        """The file from its first row to its last, up to :data:`BLOCK_ROWS` at a time.

        Args:
            names: arrays with one row a transition, or arrays with one row an episode.

        Yields:
            (first row of the block, array name -> its rows).
        """
        wanted = list(names)
        for start, stop in self.spans(*wanted):
            yield start, {name: self.rows(name, start, stop) for name in wanted}

    @cached_property
    def episode_bounds(self) -> Array:
        """First row and row after the last of every episode, [E, 2] int64; a last one without an end is included."""
        found = [
            np.flatnonzero(block["terminals"] | block["timeouts"]) + (start + 1) for start, block in self.blocks(FLAGS)
        ]
        ends = np.concatenate([np.empty(0, dtype=np.int64), *found])
        if not len(ends) or ends[-1] != self.n_transitions:
            ends = np.append(ends, self.n_transitions)
        return np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1).astype(np.int64)

    @property
    def n_episodes(self) -> int:
        """Number of episodes, E."""
        return len(self.episode_bounds)

    @property
    def transitions(self) -> Transitions:
        """The rows as TensorDicts: ``dataset.transitions[100:200]``; see :class:`Transitions`."""
        from awac_tr.data.storage.views import Transitions

        return Transitions(self)

    @property
    def episodes(self) -> Episodes:
        """The episodes as TensorDicts: ``dataset.episodes[3]``, ``dataset.episodes[10:20]``; see :class:`Episodes`."""
        from awac_tr.data.storage.views import Episodes

        return Episodes(self)

    def sample(self, rows: int, *, generator: torch.Generator | None = None) -> TensorDict:
        """Rows drawn uniformly, with replacement, read from the file each time; for training there are buffers.

        Args:
            rows: how many, n.
            generator: source of randomness; None: torch's global one.

        Returns:
            TensorDict [n], with the keys of :class:`Transitions`.
        """
        return self.transitions.sample(rows, generator=generator)

    def seed(self, index: int) -> int:
        """Seed an episode was reset with; -1 where the file does not know."""
        seeds = self._arrays.get(SEEDS)
        if seeds is None or seeds.ndim != 1 or not index < len(seeds):
            return -1
        return int(self.rows(SEEDS, index, index + 1)[0])

    def episode(self, index: int) -> Episode:
        """One episode with its infos, by its number, or a negative one from the end.

        Raises:
            DatasetError: there is no such episode.
        """
        from awac_tr.envs.episode import Episode

        if not -self.n_episodes <= index < self.n_episodes:
            raise DatasetError(f"dataset {self.path} has {self.n_episodes} episodes, none of number {index}")
        index %= self.n_episodes
        start, stop = (int(row) for row in self.episode_bounds[index])
        infos = [name for name in self._arrays if name.startswith(INFOS + "/")]
        return Episode(
            **{name: self.rows(name, start, stop) for name in ARRAYS},
            infos={name.removeprefix(INFOS + "/"): self.rows(name, start, stop) for name in infos},
            seed=self.seed(index),
        )

    @cached_property
    def content_hash(self) -> str:
        """What the file says its content hash is; computed for files of others. :func:`validate` compares."""
        if self.ours:
            return str(self.attributes.get("content_hash", ""))
        return self.compute_hash()

    def stored_hash(self, name: str) -> str:
        """Hash of one array as noted in the file, empty where it is not."""
        return read_text(self.path, self._named(name), HASH_ATTRIBUTE)

    def compute_hash(self) -> str:
        """The content hash of the arrays as they are, read through once."""
        return content_hash({name: self.hash_array(name).line(name) for name in self._arrays})

    def hash_array(self, name: str) -> ArrayHash:
        """Hash of one array as it is, read through once."""
        array = self._named(name)
        digest = ArrayHash(array.dtype.newbyteorder("<").str, tuple(array.shape[1:]))
        for start, stop in self.spans(name):
            digest.update(self._raw_rows(name, start, stop))
        return digest

    def noted_hash(self, known: Mapping[str, str]) -> str:
        """The content hash that follows from the hashes of the arrays: known by name, else as noted in the file."""
        lines = {}
        for name, array in self._arrays.items():
            digest = known.get(name) or self.stored_hash(name)
            lines[name] = describe(name, array.dtype.newbyteorder("<").str, tuple(array.shape), digest)
        return content_hash(lines)


def open_dataset(path: str | Path) -> Dataset:
    """Open an HDF5 file in our format, or any with D4RL's six arrays, for reading; use it as a context manager.

    Raises:
        DatasetError: it cannot be read, or its structure is wrong; all faults of the structure in one message.
    """
    dataset = Dataset(path)
    try:
        report(dataset.path, dataset.findings)
    except DatasetError:
        dataset.close()
        raise
    return dataset
