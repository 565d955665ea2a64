"""Unfinished collections: ``NAME.hdf5.partial`` keeps every episode as it comes, and becomes the dataset at the end.

The file is a :mod:`awac_tr.data.storage.journal`. Its first record holds the plan, everything that decides what the
episodes will be; a second one, once it is known, what acts; then each episode has one. So a collection that was killed
goes on where it stopped, and ends in the very dataset that it would have made without that. Whoever reads where the
dataset will be is told what lies there until then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.episode_check import EpisodeCheck, episode_of
from awac_tr.data.storage.journal import Journal, Record, read_records
from awac_tr.data.storage.paths import PARTIAL, SUFFIXES
from awac_tr.errors import DatasetError
from awac_tr.utils.atomic import writing
from awac_tr.utils.locks import file_lock, holder_of

if TYPE_CHECKING:
    from awac_tr.envs.episode import Episode

__all__ = [
    "UNFINISHED",
    "Partial",
    "PartialSummary",
    "partial_path",
    "read_episodes",
    "refuse_unfinished",
    "summarize_partial",
]

_log = logging.getLogger(__name__)

_PLAN, _ACTOR, _EPISODE = "plan", "actor", "episode"

_PART: Final = ".part"
UNFINISHED: Final = tuple(suffix + end for suffix in SUFFIXES for end in (PARTIAL, _PART))
"""How files end that are no datasets yet."""

_FINISH: Final = "The awac-tr collect that was interrupted finishes it, given --resume."


def partial_path(out: Path) -> Path:
    """Where what a dataset will hold is kept until it is complete."""
    return out.with_name(out.name + PARTIAL)


@dataclass(frozen=True)
class PartialSummary:
    """What a partial file says of itself.

    Attributes:
        plan: what decides the episodes, plain JSON; ``wanted``: how many.
        replaces: an existing dataset was to be replaced.
        actor: what acts, plain JSON; None where that was not known yet.
        seeds: of the whole episodes; ``transitions``: in these.
        end: bytes of whole records.
        torn: bytes after them, of an episode that was cut short.
    """

    path: Path
    plan: dict[str, Any]
    wanted: int
    replaces: bool
    actor: dict[str, Any] | None = None
    seeds: list[int] = field(default_factory=list)
    transitions: int = 0
    end: int = 0
    torn: int = 0

    @property
    def episodes(self) -> int:
        """Whole episodes."""
        return len(self.seeds)

    def __str__(self) -> str:
        return f"an unfinished collection: {self.episodes} of {self.wanted} episodes"


def summarize_partial(path: Path, *, check: bool = False) -> PartialSummary | None:
    """What a partial file says of itself; None where it was cut short before it said anything.

    With ``check`` everything is read and held against its checksums, else only the heads of its records.

    Raises:
        DatasetError: it cannot be read, or is no such file.
    """
    found: dict[str, Any] = {}
    seeds: list[int] = []
    transitions = end = 0
    for record in read_records(path, bodies=check):
        kind, end = record.head.get("kind"), record.end
        if kind == _EPISODE:
            seeds.append(_integer(path, record, "seed"))
            transitions += _integer(path, record, "rows")
        elif kind in (_PLAN, _ACTOR):
            found[kind] = record.head
        else:
            raise DatasetError(f"{path} is damaged: a record of kind {str(kind)[:20]!r}")
    if _PLAN not in found:
        return None
    plan, actor = found[_PLAN], found.get(_ACTOR, {}).get("facts")
    wanted = plan.get("wanted")
    if not (isinstance(plan.get("facts"), dict) and isinstance(wanted, int) and isinstance(actor, dict | None)):
        raise DatasetError(f"{path} is damaged: its plan is missing")
    return PartialSummary(
        path=path,
        plan=plan["facts"],
        wanted=wanted,
        replaces=plan.get("replaces") is True,
        actor=actor,
        seeds=seeds,
        transitions=transitions,
        end=end,
        torn=path.stat().st_size - end,
    )


def _integer(path: Path, record: Record, name: str) -> int:
    value = record.head.get(name)
    if not isinstance(value, int):
        raise DatasetError(f"{path} is damaged: an episode without {name}")
    return value


def read_episodes(path: Path, most: int) -> Iterator[Episode]:
    """The first episodes of a partial file; DatasetError where it is damaged."""
    left = most
    for record in read_records(path):
        if left and record.head.get("kind") == _EPISODE:
            left -= 1
            try:
                yield episode_of(record.arrays)
            except (KeyError, IndexError) as error:
                raise DatasetError(f"{path} is damaged: an episode lacks {error}") from error


class Partial:
    """A partial file that is being written. Whoever uses it holds the lock of the dataset.

    Args:
        out: the dataset it will be.
        before: what is there already, with the same plan; None: begin anew.

    Raises:
        DatasetError: it cannot be written.
    """

    def __init__(self, out: Path, before: PartialSummary | None) -> None:
        self.path = partial_path(out)
        self.seeds = list(before.seeds) if before is not None else []
        self.actor = before.actor if before is not None else None
        self._admission: EpisodeCheck | None = None
        if before is not None and before.torn:
            _log.info("%s: an episode that was cut short is collected again.", self.path)
        with writing(self.path, DatasetError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._journal = Journal(self.path, keep=before.end if before is not None else 0)

    @property
    def episodes(self) -> int:
        """Whole episodes so far."""
        return len(self.seeds)

    def note_plan(self, facts: Mapping[str, Any], *, wanted: int, replaces: bool) -> None:
        """Write down what decides the episodes, how many are wanted, and whether a dataset is to be replaced."""
        self._note({"kind": _PLAN, "facts": facts, "wanted": wanted, "replaces": replaces})

    def note_actor(self, facts: Mapping[str, Any]) -> None:
        """Write down what acts."""
        self.actor = dict(facts)
        self._note({"kind": _ACTOR, "facts": facts})

    def _note(self, head: Mapping[str, Any]) -> None:
        with writing(self.path, DatasetError):
            self._journal.append(head)
            self._journal.sync()

    def begin(self, meta: DatasetMeta) -> None:
        """Say what the dataset will say of itself, by which episodes are judged."""
        self._admission = EpisodeCheck(meta)
        for episode in read_episodes(self.path, 1):
            self._admission.admit(episode)

    def append(self, episode: Episode) -> None:
        """Keep one whole episode.

        Raises:
            DatasetError: it would not pass validation, does not fit those before it, or cannot be written.
        """
        if self._admission is None:
            raise DatasetError(f"{self.path} is not being written")
        arrays = self._admission.admit(episode)
        with writing(self.path, DatasetError):
            self._journal.append({"kind": _EPISODE, "seed": episode.seed, "rows": len(episode)}, arrays)
        self.seeds.append(episode.seed)

    def close(self) -> None:
        """Leave it for later."""
        with suppress(OSError):  # what the disk did not take is collected again
            self._journal.close()

    def remove(self) -> None:
        """It is not needed any more."""
        self.close()
        self.path.unlink(missing_ok=True)


def refuse_unfinished(path: Path) -> None:
    """Say what a file is that somebody wants to read as a dataset, or what there is where one is missing.

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
        by = "" if holder is None else f", at which {holder} is at work"
        raise DatasetError(f"there is no dataset {final} yet: {path} is {_collection(path)}{by}", _FINISH)
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
