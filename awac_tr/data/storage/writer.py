"""Writing datasets: whole episodes appended one by one, the file under its name only when it is complete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from awac_tr.data.format.findings import errors_of
from awac_tr.data.format.hashing import content_hash
from awac_tr.data.format.meta import DatasetMeta, meta_to_attributes
from awac_tr.data.format.spec import EPISODES
from awac_tr.data.storage.episode_check import EpisodeCheck
from awac_tr.data.storage.hdf5_write import Columns, NewHdf5, write_attributes
from awac_tr.data.validation.checks import RowCheck
from awac_tr.errors import DatasetError
from awac_tr.utils.locks import Lock

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
        self._attributes = meta_to_attributes(meta)
        if versions is not None:
            self._attributes["versions"] = json.dumps(dict(versions))
        self._new = NewHdf5(self.path, overwrite=overwrite, locked=lock is not None)
        self._columns: Columns | None = None
        self._admission = EpisodeCheck(meta)
        self._check = RowCheck(meta)

    def __enter__(self) -> Self:
        self._new.__enter__()
        try:
            write_attributes(self._new.file, {**self._attributes, "complete": False})
            self._new.check_disk()
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
        self._new.check_disk()

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
        self._new.check_disk()

    def _opened(self) -> Columns:
        file = self._new.file
        self._columns = self._columns or Columns(file)
        return self._columns

    def finish(self, extra: Mapping[str, Any] | None = None) -> str:
        """Complete the file, give it its name, and return the content hash, ``sha256:...``.

        Args:
            extra: what became known on the way, for the file's ``extra``; plain JSON.

        Raises:
            DatasetError: no episode was written, or the disk is full.
        """
        columns, file = self._opened(), self._new.file
        if not self.episodes:
            raise DatasetError(f"no episode was written to {self.path}")
        self._refuse_half(columns)
        columns.finish()
        digest = content_hash(columns.lines())
        created = datetime.now(UTC).isoformat(timespec="seconds")
        counts = {"n_transitions": self.transitions, "n_episodes": self.episodes}
        if extra:
            write_attributes(file, {"extra": json.dumps({**self.meta.extra, **extra})})
        write_attributes(file, {**counts, "created": created, "content_hash": digest, "complete": True})
        self._new.publish()
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

    def abort(self) -> None:
        """Drop what was written; nothing happens after :meth:`finish`."""
        self._new.abort()
