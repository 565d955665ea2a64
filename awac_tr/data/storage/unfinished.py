"""What lies where a dataset will be: an unfinished collection, a file that is being written, what a killed one left."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from awac_tr.data.storage.partial import partial_path, summarize_partial
from awac_tr.data.storage.paths import PARTIAL, SUFFIXES
from awac_tr.errors import DatasetError
from awac_tr.utils.locks import Holder, file_lock, holder_of

__all__ = ["UNFINISHED", "refuse_unfinished"]

_PART: Final = ".part"
UNFINISHED: Final = tuple(suffix + end for suffix in SUFFIXES for end in (PARTIAL, _PART))
"""How files end that are no datasets yet."""

_FINISH: Final = "The awac-tr collect that was interrupted finishes it, given --resume."


def refuse_unfinished(path: Path) -> None:
    """Say what a file is that is no dataset yet, or what there is where one is missing.

    Args:
        path: what somebody wants to read as a dataset.

    Raises:
        DatasetError: it is unfinished, or missing while something unfinished is beside it.
    """
    if path.name.endswith(UNFINISHED):
        final = path.with_name(path.name.removesuffix(path.suffix))
        if path.is_file():
            _refuse(path, final)
    elif not path.exists():
        if partial_path(path).is_file():
            _refuse(partial_path(path), path)
        holder = holder_of(file_lock(path))
        if holder is not None:
            raise DatasetError(f"there is no dataset {path} yet: it is being written by {holder}", "Wait for it.")


def _refuse(path: Path, final: Path) -> None:
    holder = holder_of(file_lock(final))
    if path.suffix == PARTIAL:
        raise DatasetError(f"there is no dataset {final} yet: {path} is {_collection(path)}{_by(holder)}", _FINISH)
    if holder is None:
        hint = "Whatever makes the dataset again replaces it; it can be removed."
        raise DatasetError(f"{path} is what a process that was killed left, and no dataset", hint)
    raise DatasetError(f"{path} is no dataset yet: it is being written by {holder}", "Wait for it.")


def _collection(path: Path) -> str:
    found = summarize_partial(path)
    if found is None:
        return "an unfinished collection without an episode"
    env = found.plan.get("env")
    where = env.get("id", "") if isinstance(env, dict) else ""
    return f"{found} of {found.plan.get('source', '')} in {where}"


def _by(holder: Holder | None) -> str:
    return "" if holder is None else f", at which {holder} is at work"
