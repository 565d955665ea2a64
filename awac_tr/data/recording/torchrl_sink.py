"""Recording what TorchRL's collectors give: batches of transitions become whole episodes in a dataset file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from tensordict import TensorDictBase

from awac_tr.data.format.meta import Bounds, DatasetMeta, Parent
from awac_tr.data.recording.recorder import OnError, Recording
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode
from awac_tr.errors import DatasetError
from awac_tr.keys import (
    ACHIEVED_GOAL,
    DISK_TO_MEMORY,
    DONE,
    NEXT_ACHIEVED_GOAL,
    SUCCESS,
    Key,
)
from awac_tr.recipes.schema import EnvSection

__all__ = ["DatasetSink", "SinkCounts"]

_LOG = logging.getLogger(__name__)
_IDS: Final = ("collector", "traj_ids")
_MASK: Final = ("collector", "mask")
_TOLD: Final[dict[str, Key]] = {
    "infos/success": SUCCESS,
    "infos/achieved_goals": ACHIEVED_GOAL,
    "infos/next_achieved_goals": NEXT_ACHIEVED_GOAL,
}
"""What only some environments tell."""

Rows = dict[str, np.ndarray[Any, Any]]


@dataclass
class SinkCounts:
    """Episodes and transitions stored, those of the episodes that are cut, and action entries outside the bounds.

    Cut is what was stored without having ended: interrupted, or unfinished at the end.
    """

    episodes: int = 0
    transitions: int = 0
    cut: int = 0
    clipped: int = 0


class DatasetSink:
    """Takes batches of a TorchRL collector and writes their trajectories into a dataset file, whole.

    A trajectory is followed from batch to batch by the collector's ``traj_ids``, or, where there are none, by its place
    in the batch: the last dimension is time, those before it are environments. It ends where ``terminated`` or
    ``truncated`` (or ``done``) is set. Where a row does not continue the one before, and where the recording ends, it
    is cut (a timeout). Actions are clipped to the bounds, as environments do that execute them. ``success`` and
    ``achieved_goal``, as :func:`awac_tr.envs.make.make_torchrl_env` gives them, become infos of the file, with what was
    desired: the last entries of the observation.

    Args:
        path: file to make, usually ``NAME.hdf5``; it appears at :meth:`close`, until then it is ``<path>.part``.
        source: how the transitions come about, in a word: ``policy``, ``random``, ``teleop`` ...
        env: Gymnasium id under which others can make the environment, or the whole description; empty for none.
        action_low: bounds of the actions, [a]; None: those of ``env``.
        action_high: the same.
        horizon: steps before an episode is cut; None: as described or registered, or unknown.
        infos: name in the file -> key in the batch, of further numbers a row.
        policy: who or what acts, in words.
        licence: of the data, SPDX where possible.
        description: one or two sentences.
        seed: of the collection.
        parents: datasets that the transitions came about from.
        extra: anything more, plain JSON.
        on_error: ``keep``: an exception (Ctrl-C too) leaves a file with all there was; ``drop``: it leaves none.
        overwrite: replace an existing file.

    Raises:
        DatasetError: the file exists or cannot be written, or the bounds are not known.
        EnvError: ``env`` is unknown, and bounds were not given.

    Example::

        with DatasetSink("walk.hdf5", source="policy", env="Walker2d-v5") as sink:
            for batch in collector:
                sink.extend(batch)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        source: str,
        env: str | EnvSection = "",
        action_low: Bounds | None = None,
        action_high: Bounds | None = None,
        horizon: int | None = None,
        infos: Mapping[str, Key] | None = None,
        policy: str = "",
        licence: str = "",
        description: str = "",
        seed: int | None = None,
        parents: Sequence[Parent] = (),
        extra: Mapping[str, Any] | None = None,
        on_error: OnError = "keep",
        overwrite: bool = False,
    ) -> None:
        section = EnvSection.of(env)
        low, high, registered = _task(section, action_low, action_high)
        meta = DatasetMeta(
            section.id, source, low, high, section.kwargs, section.options, horizon=horizon or registered,
            policy=policy, seed=seed, licence=licence, description=description, parents=tuple(parents),
            extra=dict(extra or {}),
        )  # fmt: skip
        self.counts = SinkCounts()
        self._low, self._high = np.asarray(meta.action_low, np.float32), np.asarray(meta.action_high, np.float32)
        self._infos = {f"infos/{name}": key for name, key in (infos or {}).items()}
        self._told: set[str] | None = None
        self._open: dict[Any, list[Rows]] = {}
        self._recording = Recording(DatasetWriter(path, meta, overwrite=overwrite), on_error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)

    def extend(self, batch: TensorDictBase) -> None:
        """Take transitions.

        Args:
            batch: TensorDict of batch size [T], [E, T] or more, time last, with ``observation``, ``action`` and, under
                ``next``, ``observation``, ``reward``, ``terminated``, ``truncated``; any other keys. Rows that the
                collector's ``mask`` leaves out are left out.

        Raises:
            DatasetError: a key is missing, a trajectory cannot be stored (NaN, other sizes), or the disk is full.
        """
        if not batch.batch_dims:
            raise DatasetError("a batch without batch size", "Give rows: a TensorDict [T] or [environments, T].")
        length = batch.batch_size[-1]
        rows = self._rows(batch.reshape(-1, length))
        lanes, ids, mask = len(rows["rewards"]), rows.pop("ids", None), rows.pop("mask", None)
        for lane in range(lanes):
            kept = slice(None) if mask is None else mask[lane]
            names = np.full(length, lane)[kept] if ids is None else ids[lane][kept]
            self._take(names, {name: values[lane][kept] for name, values in rows.items()})

    def close(self) -> None:
        """Cut what has not ended, and give the file its name; a second call does nothing.

        Raises:
            DatasetError: nothing was recorded.
        """
        self._close(None)

    @property
    def content_hash(self) -> str:
        """Of the finished file; empty before."""
        return self._recording.content_hash

    def _close(self, error: BaseException | None) -> None:
        try:
            for name in list(self._open):
                self._store(name, cut=True)
        except BaseException as problem:
            error = problem
            raise
        finally:
            self._recording.close(error)
        if self.counts.cut:
            _LOG.info("%d of %d trajectories had not ended: stored as cut", self.counts.cut, self.counts.episodes)

    def _rows(self, batch: TensorDictBase) -> Rows:
        """Everything needed, as arrays [lanes, T, ...] in the types of the file."""
        wanted: dict[str, Key] = {**DISK_TO_MEMORY, **self._infos}
        found = {name: _array(batch, key) for name, key in wanted.items()}
        missing = [str(wanted[name]) for name, values in found.items() if values is None]
        if missing:
            hint = "TorchRL's collectors give them all; RenameTransform renames those that are called otherwise."
            raise DatasetError(f"the batch has no {', '.join(missing)}", hint)
        optional: dict[str, Key] = {"ids": _IDS, "mask": _MASK, "done": DONE, **_TOLD}
        found |= {name: _array(batch, key) for name, key in optional.items()}
        rows = {name: values for name, values in found.items() if values is not None}
        for name in ("rewards", "terminals", "timeouts", "ids", "mask", "done", "infos/success"):
            if name in rows:
                rows[name] = rows[name].reshape(batch.batch_size)
        return self._executed(_ended(_with_goals(self._as_before(rows))))

    def _as_before(self, rows: Rows) -> Rows:
        """What the first batch told beside the transitions, all others must, and nothing more."""
        if self._told is None:
            self._told = _TOLD.keys() & rows.keys()
        missing = [str(_TOLD[name]) for name in sorted(self._told - rows.keys())]
        if missing:
            raise DatasetError(f"the batch has no {', '.join(missing)}, those before had it")
        return {name: values for name, values in rows.items() if name not in _TOLD or name in self._told}

    def _executed(self, rows: Rows) -> Rows:
        if rows["actions"].shape[-1:] != self._low.shape:
            message = f"actions of {rows['actions'].shape[-1:]} numbers, bounds of {len(self._low)}"
            raise DatasetError(message, "Vectors of real numbers can be stored.")
        clipped = np.clip(rows["actions"], self._low, self._high)
        outside = int(((clipped != rows["actions"]) & ~np.isnan(clipped)).sum())
        if outside and not self.counts.clipped:
            _LOG.info("actions outside the bounds are clipped, as the environment does that executes them")
        self.counts.clipped += outside
        return rows | {"actions": clipped}

    def _take(self, names: np.ndarray[Any, Any], rows: Rows) -> None:
        """Rows of one lane in the order of time, with the name of each one's trajectory."""
        for start, stop in _pieces(names, rows):
            name, piece = names[start].item(), {key: values[start:stop] for key, values in rows.items()}
            waiting = self._open.get(name)
            if waiting and not (waiting[-1]["next_observations"][-1] == piece["observations"][0]).all():
                self._store(name, cut=True)
            self._open.setdefault(name, []).append(piece)
            if piece["terminals"][-1] or piece["timeouts"][-1]:
                self._store(name, cut=False)

    def _store(self, name: Any, *, cut: bool) -> None:
        """Write a trajectory and forget it."""
        parts = self._open.pop(name)
        rows = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        rows["timeouts"][-1] |= cut
        infos = {key.removeprefix("infos/"): rows.pop(key) for key in list(rows) if key.startswith("infos/")}
        self._recording.append(Episode(**rows, infos=infos, seed=-1))
        self.counts.episodes += 1
        self.counts.transitions += len(rows["rewards"])
        self.counts.cut += cut


def _task(env: EnvSection, low: Bounds | None, high: Bounds | None) -> tuple[Bounds, Bounds, int | None]:
    """Bounds of the actions, given or the environment's, and its horizon where it is asked."""
    if low is not None and high is not None:
        return low, high, env.horizon
    if not env.id:
        raise DatasetError("the bounds of the actions are not known", "Give env, or action_low and action_high.")
    from awac_tr.envs.env_info import env_info

    facts = env_info(env)
    known = facts.action_bounds or ((), ())
    return known[0] if low is None else low, known[1] if high is None else high, facts.horizon


def _with_goals(rows: Rows) -> Rows:
    """Goals belong together: achieved before and after, and desired; one of them alone is none."""
    names = ("infos/achieved_goals", "infos/next_achieved_goals")
    if not all(name in rows for name in names):
        return {name: values for name, values in rows.items() if name not in names}
    goals = {name: rows[name].astype(np.float32) for name in names}
    size = goals[names[0]].shape[-1]
    return rows | goals | {"infos/desired_goals": rows["observations"][..., -size:].copy()}


def _array(batch: TensorDictBase, key: Key) -> np.ndarray[Any, Any] | None:
    """One entry as a new array [lanes, T, ...]: collectors use their memory again. None where there is none."""
    found: Any = batch.get(key, None)
    if found is None:
        return None
    values = found.detach().cpu().numpy()
    return np.array(values, np.float32 if values.dtype.kind == "f" and key in DISK_TO_MEMORY.values() else values.dtype)


def _ended(rows: Rows) -> Rows:
    """Ends as the file wants them: terminal or cut, never both; done alone is cut."""
    terminals, timeouts = rows["terminals"].astype(bool), rows["timeouts"].astype(bool)
    done = rows.pop("done", timeouts).astype(bool)
    return rows | {"terminals": terminals, "timeouts": (timeouts | done) & ~terminals}


def _pieces(names: np.ndarray[Any, Any], rows: Rows) -> Iterator[tuple[int, int]]:
    """(first row, row after the last) of what surely belongs together."""
    if not len(names):
        return
    joined = (rows["next_observations"][:-1] == rows["observations"][1:]).all(axis=-1)
    ended = (rows["terminals"] | rows["timeouts"])[:-1]
    borders = np.flatnonzero((names[1:] != names[:-1]) | ended | ~joined) + 1
    yield from zip([0, *borders.tolist()], [*borders.tolist(), len(names)], strict=True)
