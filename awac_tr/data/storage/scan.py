"""Through a dataset once, from its first row to its last: blocks for whoever counts rows, episodes for measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.data.format.spec import ARRAYS, FLAGS
from awac_tr.data.storage.reader import Dataset
from awac_tr.errors import AwacError

if TYPE_CHECKING:
    from awac_tr.envs.episode import Episode

__all__ = ["SUCCESS", "goal_steps", "scan_rows", "success_name"]

SUCCESS: Final = "infos/success"
_BATCH: Final = 4096

Array = np.ndarray[Any, Any]
See = Callable[[int, Mapping[str, Array]], None]


def scan_rows(dataset: Dataset, names: Iterable[str], see: See) -> dict[str, NDArray[np.float64]]:
    """Read a dataset once, in blocks, and measure its episodes on the way.

    Memory is that of one block, of the rewards of one episode, and of a few numbers an episode. ``see`` is called with
    the number of the first row of each block, and its arrays of these names, which have one row a transition.

    Returns:
        What :func:`awac_tr.envs.measures.measure` gives: ``return``, ``length`` and the success measures, [E] each.
    """
    from awac_tr.envs.measures import measure

    wanted = {*names, "rewards", *FLAGS} | ({SUCCESS} if success_name(dataset) else set())
    episodes, found = _episodes(dataset, sorted(wanted), see), []
    steps = goal_steps(dataset)
    while len((part := measure(islice(episodes, _BATCH), steps))["length"]):
        found.append(part)
    return {name: np.concatenate([part[name] for part in found]) for name in (found[0] if found else ())}


def success_name(dataset: Dataset) -> str | None:
    """The array that says whether the goal was reached, where the file has one of one number a row."""
    usable = SUCCESS in dataset.array_names and dataset.shape(SUCCESS) == (dataset.n_transitions,)
    return SUCCESS if usable else None


def goal_steps(dataset: Dataset) -> int | None:
    """Goal steps that ``success_steps`` asks for; None where the environment has no such number.

    Only our own environments have one. Those of others are not made, nor their modules imported: a file that is merely
    looked at must not decide what runs.
    """
    from awac_tr.envs import ENV_IDS
    from awac_tr.envs.env_info import env_info

    if dataset.meta.env_id not in ENV_IDS or dataset.meta.env.code or dataset.meta.env.paths:
        return None
    try:
        return env_info(dataset.meta.env).goal_steps
    except AwacError:  # arguments that do not fit are for validation to say
        return None


def _episodes(dataset: Dataset, names: list[str], see: See) -> Iterator[Episode]:
    """All episodes with rewards, flags and success; a last one without an end is included."""
    kept = [name for name in ("rewards", *FLAGS, success_name(dataset)) if name]
    parts: list[dict[str, Array]] = []
    for start, block in dataset.blocks(names):
        see(start, block)
        parts.append({name: block[name] for name in kept})
        ends = np.flatnonzero(block["terminals"] | block["timeouts"]) + 1
        if not len(ends):
            continue
        rows = _joined(parts)
        begin, before = 0, len(rows["rewards"]) - len(block["rewards"])
        for end in (before + ends).tolist():
            yield _episode({name: array[begin:end] for name, array in rows.items()})
            begin = end
        parts = [{name: array[begin:] for name, array in rows.items()}]
    if sum(len(part["rewards"]) for part in parts):
        yield _episode(_joined(parts))


def _joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _episode(rows: dict[str, Array]) -> Episode:
    from awac_tr.envs.episode import Episode

    success = rows.pop(SUCCESS, None)
    blank: Array = np.empty((len(rows["rewards"]), 0), dtype=np.float32)
    states: dict[str, Array] = {name: blank for name in ARRAYS if name not in rows}
    infos = {} if success is None else {"success": success.astype(np.bool_)}
    return Episode(**states, **rows, infos=infos, seed=-1)
