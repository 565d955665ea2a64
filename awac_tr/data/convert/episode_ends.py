"""Where the episodes of flat arrays end, how they end, and by what evidence.

Arrays that name ends come first: flags (``terminals``, ``timeouts``, ``dones``, ``episode_terminals`` of d3rlpy 1),
numbers of episodes, first rows, last rows, lengths. What the flags leave open is read off ``next_observations``; only
where these show no border, the horizon is counted. Arrays that contradict each other are refused: ``--ends`` decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from awac_tr.data.convert.flags import as_flags
from awac_tr.data.convert.recording import no_effect
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.errors import DatasetError

__all__ = ["ENDS_FLAG", "FLAGS", "Mark", "Said", "cut_by_horizon", "ends_of", "make_mark", "role_of", "settle"]

Array = np.ndarray[Any, Any]
Dones = Literal["terminal", "cut"] | None

_EPISODE: Final = r"(episode|traj|trajectory)"
_ROLES: Final = {
    "terminals": r"(is_)?terminals?|terminat(ed|eds|ion|ions)",
    "timeouts": r"time_?outs?|truncat(ed|eds|ion|ions)|timelimit_truncated",
    "dones": r"(is_)?dones?(_float)?",
    "masks": r"masks?|non_?terminals?",
    "not_dones": r"not_?dones?",
    "ends": rf"{_EPISODE}_(terminals?|dones?|ends?)|is_last",
    "starts": rf"{_EPISODE}_starts?|is_first",
    "ids": rf"{_EPISODE}_?(ids?|idx|ind(ex|exes|ices)|numbers?)|episode",
    "lengths": rf"{_EPISODE}_(lengths?|lens?)",
    "steps": r"(time_?)?steps?(_?(idx|index|number))?|frame_index",
    "step_types": r"step_?types?",
}
"""What an array says, by its name in lower case."""
FLAGS: Final = ("terminals", "timeouts", "dones")
"""Roles of flags of single rows."""
_INVERTED: Final = {"masks": "terminals", "not_dones": "dones"}
"""Roles of flags that are set where nothing ends."""
_LIKELY: Final = r"terminal|terminat|truncat|time_?out|(^|_)(dones?|resets?|boundar(y|ies)|ends?)(_|$)"
_ASK: Final = "unknown"
ENDS_FLAG: Final = "--ends NAME,NAME takes the arrays that it names and no others."


@dataclass(frozen=True)
class Mark:
    """What one array says: ``rows`` [N] bool is set in the last row of the episodes that it names.

    Its role is ``terminals``, ``timeouts``, ``dones`` (of either kind, or of all) or ``borders`` (all ends).
    """

    name: str
    role: str
    rows: Array


@dataclass(frozen=True)
class Said:
    """What the arrays ``names`` say together: [N] bool each, None where no array says so.

    ``blank`` is a flag for cuts that is set nowhere, by name; empty where there is none.
    """

    terminals: Array | None
    timeouts: Array | None
    blank: str
    names: tuple[str, ...]


def role_of(name: str) -> str | None:
    """What an array says about ends, by its name; ``unknown`` where the name is like one; None: nothing.

    >>> role_of("meta/episode_ends"), role_of("infos/TimeLimit.truncated"), role_of("done_flag"), role_of("qpos")
    ('ends', 'timeouts', 'unknown', None)
    """
    word = name.rpartition("/")[2].lower().replace(".", "_").replace("-", "_").removeprefix("next_")
    found = next((role for role, pattern in _ROLES.items() if re.fullmatch(pattern, word)), None)
    return found or (_ASK if re.search(_LIKELY, word) else None)


def make_mark(where: str, name: str, array: Array, rows: int, *, chosen: bool) -> Mark | None:
    """What an array says, as last rows of episodes; None: a counter of steps that runs on says nothing.

    An array of which :func:`role_of` knows nothing is read as flags of ends where the user named it (``chosen``).

    Raises:
        DatasetError: it does not hold what its name says, or nobody can know what it says.
    """
    role = role_of(name) or _ASK
    if role == _ASK:
        if not chosen:
            message = f"{where}: {name} may say where episodes end, and it is not known how"
            raise DatasetError(message, f"{ENDS_FLAG} An array of a name that is not known is read as flags of ends.")
        role = "dones"
    if role in FLAGS:
        return Mark(name, role, as_flags(where, name, array, rows))
    if role in _INVERTED:
        return Mark(name, _INVERTED[role], ~as_flags(where, name, array, rows))
    last = _last_rows(where, name, role, array, rows)
    if last is None and chosen:
        raise DatasetError(f"{where}: {name} does not count the steps of every episode from 0 or 1", ENDS_FLAG)
    return None if last is None else Mark(name, "borders", last)


def _last_rows(where: str, name: str, role: str, array: Array, rows: int) -> Array | None:
    values = array.reshape(-1)
    if role in ("ends", "starts") and array.size == rows and (array.dtype.kind not in "iu" or _is_binary(array)):
        flags = as_flags(where, name, array, rows)
        return flags if role == "ends" else np.roll(flags, -1)
    if role == "steps":
        return _by_steps(values) if len(values) == rows else None
    if role in ("ids", "step_types"):
        return (_by_ids if role == "ids" else _by_step_types)(where, name, values, rows)
    if values.dtype.kind not in "iu":
        raise DatasetError(f"{where}: {name} has type {array.dtype}; rows or lengths are whole numbers", ENDS_FLAG)
    return _by_numbers(where, name, role, values.astype(np.int64), rows)


def _is_binary(array: Array) -> bool:
    return bool(np.isin(array, (0, 1)).all())


def _by_ids(where: str, name: str, ids: Array, rows: int) -> Array:
    if len(ids) != rows or ids.dtype.kind not in "iufSUb":
        raise DatasetError(f"{where}: {name} has {len(ids)} values of {ids.dtype}, expected one a row", ENDS_FLAG)
    last = np.append(ids[1:] != ids[:-1], True)
    if last.sum() != len(np.unique(ids)):
        hint = "Store the rows of one episode after another."
        raise DatasetError(f"{where}: by {name}, rows of one episode do not lie together", hint)
    return last


def _by_steps(values: Array) -> Array | None:
    """Last rows, by the number of each step in its episode; None: it is not counted so, or never begins anew.

    >>> _by_steps(np.array([0, 1, 2, 0, 1])).tolist(), _by_steps(np.arange(5))
    ([False, False, True, False, True], None)
    """
    if values.dtype.kind not in "iuf" or len(values) <= 1 or values.min() not in (0, 1):
        return None
    first = values == values.min()
    counted = first[1:] | (values[1:] == values[:-1] + 1)
    return np.append(first[1:], True) if counted.all() and first[1:].any() and not first.all() else None


def _by_step_types(where: str, name: str, values: Array, rows: int) -> Array:
    """Last rows, by dm_env's kinds of steps: 0 the first, 1 one within, 2 the last."""
    if len(values) != rows or not np.isin(values, (0, 1, 2)).all():
        raise DatasetError(f"{where}: {name} holds other values than 0, 1 and 2 (first, within, last)", ENDS_FLAG)
    last: Array = (values == 2) | np.append(values[1:] == 0, True)  # noqa: PLR2004  (the number of the last)
    return last


def _by_numbers(where: str, name: str, role: str, values: Array, rows: int) -> Array:
    """Last rows, from lengths, first rows, rows after the last, or last rows of episodes."""
    if role == "lengths":
        stops = np.cumsum(values)
        fits = values.min(initial=0) >= 0 and len(values) and stops[-1] == rows
        stops = stops[values > 0]
    elif role == "starts":
        fits = len(values) and values[0] == 0
        stops = np.append(values[1:], rows)
    else:
        fits = len(values) and values[-1] in (rows, rows - 1)
        stops = values + int(bool(fits) and values[-1] == rows - 1)
    if not fits or stops[0] < 1 or stops[-1] > rows or (np.diff(stops) <= 0).any():
        message = f"{where}: {name} does not fit {rows:,} rows: {', '.join(str(one) for one in values[:5])} ..."
        raise DatasetError(message, ENDS_FLAG)
    last = np.zeros(rows, dtype=bool)
    last[stops - 1] = True
    return last


def settle(where: str, marks: Sequence[Mark], *, dones: Dones, never: Callable[[], bool]) -> Said:
    """What all arrays say together.

    Args:
        where: for messages.
        marks: of the file.
        dones: what an end of unknown kind is, where the user says it.
        never: asks whether only time ends an episode of this environment.

    Raises:
        DatasetError: arrays contradict each other, or nobody can know which ends are of the task.
    """
    by_role = {role: _agreed(where, [mark for mark in marks if mark.role == role]) for role in _ALL}
    terminals, timeouts, done, borders = (by_role[role] for role in _ALL)
    blank = ""
    if timeouts is not None and not timeouts.rows.any():
        blank, timeouts = timeouts.name, None
    if done is not None:
        terminals, borders = _with_dones(where, terminals, timeouts, done, borders)
    names = tuple(mark.name for mark in marks if mark.name != blank)
    if dones and (borders is None or terminals is not None or timeouts is not None):
        raise no_effect("dones", f"here: {where} tells by {', '.join(names) or 'nothing'} which ends are of the task")
    if borders is None:
        return Said(_rows(terminals), _rows(timeouts), blank, names)
    for mark in (terminals, timeouts):
        _inside(where, mark, borders)
    if terminals is None and timeouts is None:
        terminals = _of_kind(where, borders, dones, never)
    ended = borders.rows & ~timeouts.rows if terminals is None and timeouts is not None else _rows(terminals)
    if terminals is not None and timeouts is not None:
        _inside(where, borders, Mark(f"{terminals.name} and {timeouts.name}", "", terminals.rows | timeouts.rows))
    cut = borders.rows if ended is None else borders.rows & ~ended
    return Said(ended, cut if timeouts is None else timeouts.rows, blank, names)


_ALL: Final = ("terminals", "timeouts", "dones", "borders")


def _rows(mark: Mark | None) -> Array | None:
    return None if mark is None else mark.rows


def _agreed(where: str, marks: Sequence[Mark]) -> Mark | None:
    """What arrays of one role say, all the same."""
    for mark in marks[1:]:
        _inside(where, marks[0], mark)
        _inside(where, mark, marks[0])
    return marks[0] if marks else None


def _inside(where: str, some: Mark | None, all_of: Mark) -> None:
    """Refuse ends of the one that the other does not have; the last row of the file ends an episode in any case."""
    if some is None:
        return
    odd = np.flatnonzero(some.rows[:-1] & ~all_of.rows[:-1])
    if len(odd):
        message = f"{some.name} and {all_of.name} contradict each other: {len(odd):,} rows end an episode by "
        raise DatasetError(f"{where}: {message}{some.name} and not by {all_of.name}, first row {odd[0]}", ENDS_FLAG)


def _with_dones(
    where: str, terminals: Mark | None, timeouts: Mark | None, done: Mark, borders: Mark | None
) -> tuple[Mark | None, Mark | None]:
    """Terminals and borders, with flags that may be either: all ends, or those of the task alone."""
    if borders is not None:
        _inside(where, done, borders)
        only_some = bool((borders.rows & ~done.rows)[:-1].any()) and done.rows.any()
        return (done if terminals is None and only_some else terminals), borders
    if terminals is not None and timeouts is not None:
        both = Mark(f"{terminals.name} and {timeouts.name}", "", terminals.rows | timeouts.rows)
        _inside(where, done, both)
        return terminals, None
    if terminals is not None:
        _inside(where, terminals, done)
        return terminals, done if (done.rows & ~terminals.rows).any() else None
    if timeouts is not None and not (timeouts.rows & done.rows).any():
        return done, None
    return (None, done) if done.rows.any() else (done, None)


def _of_kind(where: str, borders: Mark, dones: Dones, never: Callable[[], bool]) -> Mark:
    """Terminals, where an array has only ends."""
    if dones is None and not never():
        message = f"{where}: {borders.name} says where episodes end, and no array says whether the task ended there"
        raise DatasetError(message, "Say it with --dones: terminal (it ended), or cut (the recording or time did).")
    rows = borders.rows if dones == "terminal" else np.zeros_like(borders.rows)
    return Mark(borders.name, "terminals", rows)


def ends_of(where: str, arrays: Mapping[str, Array], rows: int, dones: Dones) -> tuple[bool, dict[str, Array]]:
    """Whether the task ended with the last row of one episode, and the flags of all its rows.

    The arrays are those whose names have a role among :data:`FLAGS`; ``dones`` says what an end of unknown kind is,
    None: of the task.

    Raises:
        UnusableEpisodeError: an array holds no flags, one a row.
    """
    try:
        flags = {name: as_flags(where, name, array, rows) for name, array in arrays.items()}
    except DatasetError as error:
        raise UnusableEpisodeError(error.message, error.hint) from error
    last = {role: [bool(one[-1]) for name, one in flags.items() if role_of(name) == role] for role in FLAGS}
    if last["terminals"]:
        return any(last["terminals"]), flags
    return any(last["dones"]) and not any(last["timeouts"]) and dones != "cut", flags


def cut_by_horizon(ends: Array, horizon: int, spare: int = 0) -> Array:
    """Where episodes were cut, [N] bool, from where they ended, [N] bool, and how many steps they may have.

    ``spare`` rows stand before the first step of every episode but the first, as an autoreset leaves one. Rows that are
    an end are not cuts.

    >>> cut_by_horizon(np.array([0, 0, 0, 1, 0, 0, 0], dtype=bool), 3).astype(int).tolist()
    [0, 0, 1, 0, 0, 0, 1]
    """
    rows, period = np.arange(len(ends)), horizon + spare
    first = np.full(len(ends), -spare, dtype=np.int64)
    first[1:] = np.maximum.accumulate(np.where(ends[:-1], rows[1:], -spare))
    cut: Array = ((rows - first) % period == period - 1) & ~ends
    return cut


def choose(where: str, names: Iterable[str], chosen: Sequence[str]) -> Mapping[str, bool]:
    """Names of the arrays that are asked -> whether the user named them.

    Raises:
        DatasetError: the user named one that is not there.
    """
    known = list(names)
    for name in chosen:
        if name not in known:
            raise DatasetError(f"{where} has no array {name}", f"It has {', '.join(known[:12])}.")
    return {name: bool(chosen) for name in known if (name in chosen if chosen else role_of(name) is not None)}
