"""Where Minari's datasets lie: ids, the folder of local datasets, and Minari's own download."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from awac_tr.errors import DatasetError

__all__ = ["dataset_place", "fetch", "is_id"]

_ID: Final = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d{1,9}", re.ASCII)


def is_id(text: str) -> bool:
    """Is this a Minari id with a version; such an id cannot lead out of the folder of datasets.

    >>> is_id("D4RL/door/human-v2"), is_id("../../human-v2"), is_id("/etc/human-v2"), is_id("door")
    (True, False, False, False)
    """
    return _ID.fullmatch(text) is not None


def dataset_place(dataset_id: str) -> Path:
    """The folder of a local dataset, whether it exists or not: in ``$MINARI_DATASETS_PATH``, else where Minari says.

    Raises:
        DatasetError: not an id.
    """
    if not is_id(dataset_id):
        hint = (
            "It is made of letters, digits, - and _, with / between namespaces, and ends in a version: door/clone-v0."
        )
        raise DatasetError(f"{dataset_id!r} is no Minari id", hint)
    from minari.storage.datasets_root_dir import get_dataset_path

    return Path(get_dataset_path(dataset_id))


def fetch(dataset_id: str) -> Path:
    """The folder of a dataset, downloaded by Minari where it is not here; a failed download leaves nothing.

    Raises:
        DatasetError: not an id, or it cannot be had.
    """
    place = dataset_place(dataset_id)
    if place.is_dir():
        return place
    import minari

    try:
        with contextlib.redirect_stdout(sys.stderr):  # Minari prints its progress
            minari.download_dataset(dataset_id)
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        if not isinstance(error, Exception):
            raise
        raise _not_to_be_had(dataset_id, place, error) from error
    return place


def _not_to_be_had(dataset_id: str, place: Path, error: Exception) -> DatasetError:
    message = f"Minari's {dataset_id} is not in {place.parent}, and cannot be downloaded"
    if isinstance(error, ImportError):
        return DatasetError(f"{message}: {error}", 'pip install "awac-tr[remote]" brings what downloads need.')
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    hint = f"With a network, minari download {dataset_id} does it; the folder can then be copied to {place}."
    return DatasetError(f"{message}: {reason}", hint)
