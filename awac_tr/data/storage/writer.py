"""Writing datasets: whole episodes appended one by one, the file under its name only when it is complete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from awac_tr.data.format.findings import errors_of
from awac_tr.data.format.hashing import content_hash
from awac_tr.data.format.meta import DatasetMeta, meta_to_attributes
from awac_tr.data.format.spec import EPISODES
from awac_tr.data.storage.episode_check import EpisodeCheck
from awac_tr.data.storage.hdf5 import CACHE_BYTES
from awac_tr.data.storage.hdf5_write import Columns, FileDriver, write_attributes
from awac_tr.data.validation.checks import RowCheck
from awac_tr.errors import DatasetError
from awac_tr.utils.atomic import cannot_write, rename, writing
from awac_tr.utils.locks import Lock, file_lock

if TYPE_CHECKING:
    from awac_tr.envs.episode import Episode

__all__ = ["DatasetWriter"]

Rows = np.ndarray[Any, Any]


class DatasetWriter:
    """Writes one dataset file, as a context manager.

    Episodes go into ``<path>.part``, which becomes ``path`` in :meth:`finish` and is removed when the block is left
    without it, so that a file under its final name is always whole. While the block is entered, the file is locked.

    Args:
        path: file to make, usually ``NAME.hdf5``; its folder is made where it is missing.
        meta: what the file will say about itself.
        overwrite: replace an existing file.
        versions: of the packages the transitions were made with, where that is not here and now; None: it is.
        lock: of the file, where the caller holds it already; None: taken here, and refused where another has it.

    Raises:
        DatasetError: the file exists, is being written by another process, or cannot be written there.

    Example::

        with DatasetWriter("door.hdf5", meta) as writer:
            for episode in rollouts(...):
                writer.append(episode)
            digest = writer.finish()
    """

    def __init__(
        self,
        path: str | Path,
        meta: DatasetMeta,
        *,
        overwrite: bool = False,
        versions: Mapping[str, str] | None = None,
        lock: Lock | None = None,
    ) -> None:
        self.path = Path(path)
        self.meta = meta
        self.transitions = 0
        self.episodes = 0
        self._overwrite = overwrite
        self._attributes = meta_to_attributes(meta)
        if versions is not None:
            self._attributes["versions"] = json.dumps(dict(versions))
        self._lock = file_lock(self.path, error=DatasetError) if lock is None else None
        self._sink: FileDriver | None = None
        self._file: h5py.File | None = None
        self._columns: Columns | None = None
        self._admission = EpisodeCheck(meta)
        self._check = RowCheck(meta)
        self._refuse_existing()

    @property
    def part(self) -> Path:
        """The file while it is being written."""
        return self.path.with_name(self.path.name + ".part")

    def _refuse_existing(self) -> None:
        if self.path.is_dir():
            raise DatasetError(f"{self.path} is a folder", "Name a file, for example NAME.hdf5.")
        if self.path.exists() and not self._overwrite:
            raise DatasetError(f"{self.path} exists already", "Choose another name, or replace it with --force.")

    def __enter__(self) -> Self:
        try:
            with writing(self.path, DatasetError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if self._lock is not None:
                    self._lock.__enter__()
                self._sink = FileDriver(self.part)
            self._file = h5py.File(self._sink, "w", libver=("v110", "v110"), rdcc_nbytes=CACHE_BYTES)
            write_attributes(self._file, {**self._attributes, "complete": False})
            self._columns = Columns(self._file)
            self._check_disk()
        except BaseException:
            self.abort()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def append(self, episode: Episode, *, per_episode: Mapping[str, Rows] | None = None) -> None:
        """Add one whole episode. What fills no chunk waits in memory for the next ones.

        Args:
            episode: the episode.
            per_episode: name -> what is true of the whole episode, any shape; becomes a row of ``episodes/NAME``.

        Raises:
            DatasetError: the episode would not pass validation, does not fit those before it, or the disk is full.
        """
        columns = self._opened()
        arrays = self._admission.admit(episode, per_episode)
        columns.append(arrays)
        self.transitions += len(episode.rewards)
        self.episodes += 1
        self._check_disk()

    def extend(self, arrays: Mapping[str, Rows]) -> None:
        """Add rows as they lie in other files, in blocks that may begin and end within an episode.

        Blocks of rows (the six arrays and ``infos/...``) and blocks of episodes (``episodes/...``) come in any turn;
        :meth:`finish` asks for one row of the latter an episode. Each of the two always has the same arrays.

        Args:
            arrays: name as on disk -> rows [n, ...], either all of the one kind or all of the other.

        Raises:
            DatasetError: the rows would not pass validation, or the disk is full.
        """
        columns = self._opened()
        if "rewards" in arrays:
            self._check.feed(arrays)
            errors = [finding for finding in errors_of(self._check.findings()) if finding.code != "open-end"]
            if errors:
                text = "; ".join(f"{finding.where}: {finding.message}" for finding in errors)
                raise DatasetError(f"{self.path} cannot be written: {text}", "awac-tr data validate tells more.")
            self.transitions += len(arrays["rewards"])
            self.episodes += int((arrays["terminals"] | arrays["timeouts"]).sum())
        columns.append(arrays)
        self._check_disk()

    def _opened(self) -> Columns:
        if self._columns is None:
            hint = "Use the writer in a with block, and not after finish()."
            raise DatasetError(f"{self.path} is not being written", hint)
        return self._columns

    def _check_disk(self) -> None:
        error = self._sink.error if self._sink is not None else None
        if error is not None:
            self.abort()
            done = "; the unfinished file was removed"
            raise cannot_write(self.path, error, DatasetError, done=done) from error

    def finish(self, extra: Mapping[str, Any] | None = None) -> str:
        """Complete the file, give it its name, and return the content hash, ``sha256:...``.

        Args:
            extra: what became known on the way, for the file's ``extra``; plain JSON.

        Raises:
            DatasetError: no episode was written, or the disk is full.
        """
        columns, file = self._opened(), self._file
        if not self.episodes or file is None:
            raise DatasetError(f"no episode was written to {self.path}")
        self._refuse_half(columns)
        columns.finish()
        digest = content_hash(columns.lines())
        created = datetime.now(UTC).isoformat(timespec="seconds")
        counts = {"n_transitions": self.transitions, "n_episodes": self.episodes}
        if extra:
            write_attributes(file, {"extra": json.dumps({**self.meta.extra, **extra})})
        write_attributes(file, {**counts, "created": created, "content_hash": digest, "complete": True})
        self._close_file()
        self._publish()
        return digest

    def _refuse_half(self, columns: Columns) -> None:
        """Blocks may end anywhere, files may not."""
        errors = errors_of(self._check.findings())
        wanted = {name: self.episodes if name.startswith(EPISODES) else self.transitions for name in columns.rows()}
        wrong = [
            f"{name} has {rows} rows, not {wanted[name]}"
            for name, rows in columns.rows().items()
            if rows != wanted[name]
        ]
        if errors or wrong:
            text = "; ".join([*(finding.message for finding in errors), *wrong])
            raise DatasetError(f"{self.path} cannot be finished: {text}")

    def _close_file(self) -> None:
        file, self._file, self._columns = self._file, None, None
        if file is not None:
            file.close()

    def _publish(self) -> None:
        """Wait for the disk, then rename: no name without all its bytes."""
        sink = self._sink
        if sink is not None:
            sink.sync()
            self._check_disk()
        self._refuse_existing()
        rename(self.part, self.path)
        self._sink = None
        if sink is not None:
            sink.close()
        self._unlock()

    def abort(self) -> None:
        """Drop what was written; nothing happens after :meth:`finish`."""
        sink, self._sink = self._sink, None
        try:
            self._close_file()
        finally:
            if sink is not None:
                self.part.unlink(missing_ok=True)
                sink.close()
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
