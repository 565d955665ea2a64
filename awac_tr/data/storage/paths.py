"""Where datasets lie, and how a name becomes a path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["PARTIAL", "SUFFIXES", "dataset_folder", "dataset_path"]

SUFFIXES: Final = (".hdf5", ".h5")
"""How dataset files end."""

PARTIAL: Final = ".partial"
"""What the name of an unfinished collection ends in, after the dataset's."""


def dataset_folder() -> Path:
    """``$AWAC_TR_DATA``, or ``datasets`` in the working directory."""
    return Path(os.environ.get("AWAC_TR_DATA") or "datasets")


def dataset_path(name_or_path: str | Path) -> Path:
    """The file that a name or a path stands for.

    Args:
        name_or_path: a path (it has a folder in it, or ends in ``.hdf5``, ``.h5`` or ``.partial``), taken as it is; or
            the name of a dataset in :func:`dataset_folder`.

    Example:
        >>> dataset_path("runs/mine.hdf5").as_posix()
        'runs/mine.hdf5'
        >>> dataset_path("door-bc").name
        'door-bc.hdf5'
    """
    path = Path(name_or_path)
    if path.suffix in (*SUFFIXES, PARTIAL) or len(path.parts) != 1:
        return path
    return dataset_folder() / f"{path.name}.hdf5"
