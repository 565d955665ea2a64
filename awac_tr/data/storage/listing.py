"""The datasets of a folder, by what they say about themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from awac_tr.data.format.findings import errors_of
from awac_tr.data.storage.partial import UNFINISHED
from awac_tr.data.storage.paths import SUFFIXES
from awac_tr.data.storage.reader import Dataset
from awac_tr.errors import DatasetError

__all__ = ["list_datasets"]


def list_datasets(
    folder: str | Path, *, env: str | None = None, source: str | None = None, problems: bool = False
) -> list[dict[str, Any]]:
    """The dataset files of a folder (not of its subfolders), unfinished ones among them; their rows are not read.

    Only those of an environment, those that came about in this way (demos, bc, ou, random, policy, import), or those
    with problems, where that is asked for.

    Returns:
        One dict a file, sorted by name: ``name``, ``path``, ``bytes``, ``env_id``, ``source``, ``episodes`` and
        ``horizon`` (None for files of others), ``transitions``, ``created``, ``content_hash``, ``parents`` (their
        names), ``problem`` (empty, or why the file cannot be used). All but the first three and the last are None where
        the file cannot be read.

    Raises:
        DatasetError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}", "Name one, or set AWAC_TR_DATA.")
    entries = [_entry(path) for path in sorted(folder.iterdir()) if path.name.endswith((*SUFFIXES, *UNFINISHED))]
    return [
        entry
        for entry in entries
        if env in (None, entry["env_id"]) and source in (None, entry["source"]) and (entry["problem"] or not problems)
    ]


def _entry(path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": path.name.removesuffix(path.suffix), "path": str(path), "bytes": None}
    names = ("env_id", "source", "episodes", "transitions", "horizon", "created", "content_hash", "parents")
    entry |= dict.fromkeys(names)
    try:
        entry["bytes"] = path.stat().st_size
        return entry | _noted(path)
    except DatasetError as error:
        return {**entry, "problem": error.message}
    except OSError as error:  # a link to nowhere, a file that may not be read
        return {**entry, "problem": f"{path} cannot be opened: {error.strerror}"}


def _noted(path: Path) -> dict[str, Any]:
    """What the attributes and the shapes of a file say."""
    with Dataset(path) as dataset:
        noted, meta = dataset.attributes.get, dataset.meta
        return {
            "env_id": meta.env_id,
            "source": meta.source,
            "episodes": noted("n_episodes"),
            "transitions": dataset.n_transitions if "observations" in dataset.array_names else None,
            "horizon": meta.horizon,
            "created": noted("created"),
            "content_hash": noted("content_hash"),
            "parents": [str(parent.name) for parent in meta.parents],
            "problem": "; ".join(f"{fault.where}: {fault.message}" for fault in errors_of(dataset.findings)),
        }
