"""Defects of the ends of episodes; see :mod:`validation.inject`."""

from __future__ import annotations

from typing import Final

import numpy as np

from validation.clean import EPISODE, FRAME, Array, Data
from validation.formats import FORMATS
from validation.inject import (
    FLAT,
    IMPLIED,
    PAIRS,
    RECOMPUTED,
    REWARDED,
    Random,
    defect,
    some,
    states_of,
)


def take(data: Data, index: Array) -> None:
    """These rows, in this order."""
    data.arrays = {name: rows[index] for name, rows in data.arrays.items()}


ONE_STATE: Final = ("minari", "hand_dapg", "lerobot")
"""Formats in which a wrong border shows as a jump of the states and in nothing else."""


def hidden(data: Data, jumps: Array, formats: tuple[str, ...]) -> None:
    """Say that nothing could see these jumps [n, o]: none is larger, in any entry, than a clean step is somewhere.

    Args:
        data: clean still.
        jumps: differences of states over the borders.
        formats: in which there is no other trace of the defect.
    """
    steps = np.abs(data.arrays["next_observations"] - data.arrays["observations"]).max(axis=0)
    if (np.abs(jumps) <= steps).all():
        data.undetectable = formats


def over_borders(data: Data, ends: Array) -> Array:
    """From the last state of episodes to the first of the next, [n, o]."""
    before, after = states_of(data)
    return np.asarray(before[ends + 1] - after[ends])


@defect("both-ends", FLAT, "Minari allows both; the others have one flag or none")
def both_ends(data: Data, rng: Random) -> bool:
    ends = some(rng, data.ends)
    data.arrays["terminals"][ends] = data.arrays["timeouts"][ends] = True
    return True


@defect("gap", (*PAIRS, "lerobot"), IMPLIED)
def gap_of_lost_rows(data: Data, rng: Random) -> bool:
    inner = np.setdiff1d(np.arange(1, len(data)), np.union1d(data.ends, data.starts))
    if not len(inner):
        return False
    lost = some(rng, inner)
    keep = np.setdiff1d(np.arange(len(data)), lost)
    take(data, keep)
    return len(keep) > len(lost)


@defect("gap", (*PAIRS, "lerobot"), IMPLIED)
def gap_of_moved_rows(data: Data, rng: Random) -> bool:
    order = np.arange(len(data))
    inner = np.setdiff1d(order, data.ends)
    if len(inner) < 2:
        return False
    rows = some(rng, inner)
    while len(rows) < 2:
        rows = some(rng, inner)
    order[rows] = rows[rng.permutation(len(rows))]
    changed = (order != np.arange(len(data))).any()
    flags = {name: data.arrays[name] for name in ("terminals", "timeouts", EPISODE)}
    take(data, order)
    data.arrays |= flags
    return bool(changed)


@defect("gap", PAIRS, IMPLIED)
def gap_of_a_lost_end(data: Data, rng: Random) -> bool:
    return _join(data, some(rng, data.ends[:-1])) if len(data.starts) > 1 else False


def _join(data: Data, ends: Array) -> bool:
    """Episodes become one with those after them."""
    data.arrays["terminals"][ends] = data.arrays["timeouts"][ends] = False
    numbers = data.arrays[EPISODE]
    joined = np.isin(np.arange(len(data)), ends + 1)
    new = np.diff(numbers, prepend=-1) != 0
    data.arrays[EPISODE] = np.cumsum(new & ~joined) - 1
    data.arrays[FRAME] = np.concatenate(
        [np.arange(stop - start + 1) for start, stop in zip(data.starts, data.ends, strict=True)]
    )
    return True


@defect("unmarked-border", FORMATS)
def unmarked_border(data: Data, rng: Random) -> bool:
    if len(data.starts) < 2:
        return False
    ends = some(rng, data.ends[:-1])
    before, after = states_of(data)
    jumps = over_borders(data, ends) + after[ends] - before[ends]
    hidden(data, jumps, FORMATS)
    _join(data, ends)
    after[ends] = before[ends + 1]
    return True


@defect("autoreset", REWARDED, RECOMPUTED)
def autoreset_rows(data: Data, rng: Random) -> bool:
    """The row that a vector environment gives between two episodes: no action is executed, the reward is 0."""
    if len(data.starts) < 2:
        return False
    ends = some(rng, data.ends[:-1])
    before, after = states_of(data)
    final, first, actions = (
        after[ends],
        before[ends + 1],
        data.arrays["actions"][rng.permutation(len(data))[: len(ends)]],
    )
    for name, rows in data.arrays.items():
        data.arrays[name] = np.insert(rows, ends + 1, rows[ends + 1], axis=0)
    at = ends + 1 + np.arange(len(ends))
    values = {"observations": final, "next_observations": first, "actions": actions, "rewards": 0}
    for name, value in values.items():
        data.arrays[name][at] = value
    for name in ("terminals", "timeouts"):
        data.arrays[name][at] = False
    data.arrays[FRAME] = np.concatenate([np.arange(b - a + 1) for a, b in zip(data.starts, data.ends, strict=True)])
    return True


@defect("rounding", PAIRS, IMPLIED)
def rounding(data: Data, rng: Random) -> bool:
    after = data.arrays["next_observations"]
    rows = some(rng, np.setdiff1d(np.arange(len(data)), data.ends))
    kind = rng.integers(3)
    if kind == 0:
        after[rows] = np.nextafter(after[rows], np.float32(np.inf))
    elif kind == 1:
        after[rows] = np.round(after[rows], int(rng.integers(4, 7)))
    else:
        noise = 10 ** rng.uniform(-7, -5) * rng.standard_normal(after[rows].shape)
        after[rows] = (after[rows] * (1 + noise)).astype(np.float32)
    before = data.arrays["observations"]
    return bool((after[rows] != before[rows + 1]).any())


def _leak(data: Data, rng: Random, flag: str) -> bool:
    ends = data.ends[:-1][data.arrays[flag][data.ends[:-1]]]
    if not len(ends):
        return False
    ends = some(rng, ends)
    before, after = states_of(data)
    after[ends] = before[ends + 1]
    return True


@defect("leak", (*PAIRS, "minari"), "the last next observation is not stored")
def leak(data: Data, rng: Random) -> bool:
    return _leak(data, rng, "timeouts")


@defect("leak-terminal", (*PAIRS, "minari"), "the last next observation is not stored")
def leak_terminal(data: Data, rng: Random) -> bool:
    return _leak(data, rng, "terminals")


def _renumber(data: Data, ends: Array) -> None:
    """Episodes end after these rows, for the recorder; the last row ends one."""
    last = np.zeros(len(data), bool)
    last[ends], last[-1] = True, True
    data.arrays[EPISODE] = np.cumsum(np.concatenate([[0], last[:-1]]))
    data.arrays[FRAME] = np.concatenate([np.arange(b - a + 1) for a, b in zip(data.starts, data.ends, strict=True)])


@defect("continues", (*PAIRS, "minari"), "the step over the cut is not stored")
def continues(data: Data, rng: Random) -> bool:
    inner = np.setdiff1d(np.arange(len(data) - 1), data.ends)
    if not len(inner):
        return False
    cut = some(rng, inner)[:200]
    data.arrays["timeouts"][cut] = True
    _renumber(data, np.union1d(data.ends, cut))
    return True


def _moved(data: Data, rng: Random, by: int) -> bool:
    """End flags that stand a row too late or too early; in formats that keep episodes apart they are cut there."""
    ends = data.ends[:-1] if by > 0 else data.ends
    ends = ends[(data.arrays[FRAME][ends] > 0)] if by < 0 else ends
    if not len(ends):
        return False
    ends = ends if rng.random() < 0.5 else some(rng, ends)
    for name in ("terminals", "timeouts"):
        flags = data.arrays[name]
        values = flags[ends]
        flags[ends] = False
        flags[ends + by] |= values
    both = data.arrays["terminals"] | data.arrays["timeouts"]
    inner = ends[ends < len(data) - 1]
    if len(inner):
        hidden(data, over_borders(data, inner), ONE_STATE)
    _renumber(data, np.flatnonzero(both))
    return True


@defect("border-late")
def border_late(data: Data, rng: Random) -> bool:
    return _moved(data, rng, 1)


@defect("border-early")
def border_early(data: Data, rng: Random) -> bool:
    return _moved(data, rng, -1)


@defect("border-doubled", (*FLAT, "minari", "robomimic", "lerobot"), "the format has no flags")
def border_doubled(data: Data, rng: Random) -> bool:
    by = int(rng.choice([-1, 1]))
    ends = data.ends[:-1] if by > 0 else data.ends[data.arrays[FRAME][data.ends] > 0]
    if not len(ends):
        return False
    ends = some(rng, ends)
    for name in ("terminals", "timeouts"):
        data.arrays[name][ends + by] |= data.arrays[name][ends]
    _renumber(data, np.flatnonzero(data.arrays["terminals"] | data.arrays["timeouts"]))
    return True


@defect("open-end", FLAT, "an episode is whole by itself there")
def open_end(data: Data, rng: Random) -> bool:
    data.arrays["terminals"][-1] = data.arrays["timeouts"][-1] = False
    return True


@defect("flags-inverted", REWARDED, "the format has no flags")
def flags_inverted(data: Data, rng: Random) -> bool:
    data.arrays["terminals"] = ~data.arrays["terminals"]
    return True


@defect("false-terminal", REWARDED, "the format has no flags", named=True)
def false_terminal(data: Data, rng: Random) -> bool:
    cut = data.ends[data.arrays["timeouts"][data.ends]]
    if not len(cut):
        return False
    cut = some(rng, cut)
    data.arrays["terminals"][cut], data.arrays["timeouts"][cut] = True, False
    return True


ENDING: Final = ("Hopper-v5", "Walker2d-v5", "InvertedPendulum-v5", "MountainCarContinuous-v0")


def _missed(data: Data, ends: Array) -> bool:
    data.arrays["terminals"][ends], data.arrays["timeouts"][ends] = False, True
    return bool(len(ends))


@defect("missed-terminal", REWARDED, "the format has no flags", envs=ENDING, named=True)
def missed_terminal(data: Data, rng: Random) -> bool:
    ends = np.flatnonzero(data.arrays["terminals"])
    return _missed(data, some(rng, ends) if len(ends) else ends)


@defect("no-terminals", REWARDED, "the format has no flags", envs=ENDING, named=True)
def no_terminals(data: Data, rng: Random) -> bool:
    ends = np.flatnonzero(data.arrays["terminals"])
    lengths = data.ends - data.starts
    return len(set(lengths.tolist())) > 1 and len(ends) > 1 and _missed(data, ends)


@defect("terminal-at-horizon", REWARDED, "the format has no flags", named=True)
def terminal_at_horizon(data: Data, rng: Random) -> bool:
    lengths = data.ends - data.starts + 1
    ends = data.ends[lengths == data.horizon]
    if data.arrays["terminals"].any() or not len(ends):
        return False
    data.arrays["terminals"][ends], data.arrays["timeouts"][ends] = True, False
    return True


@defect("length", named=True)
def length(data: Data, rng: Random) -> bool:
    """Episodes go on behind the horizon; the real states of another follow, as after a lost border without a gap."""
    full = data.ends[:-1][(data.ends - data.starts + 1)[:-1] == data.horizon]
    if not len(full):
        return False
    ends = some(rng, full)
    before, after = states_of(data)
    _join(data, ends)
    after[ends] = before[ends + 1]
    return True


@defect("one-step")
def one_step(data: Data, rng: Random) -> bool:
    starts, ends = data.starts, data.ends
    numbers = some(rng, np.arange(len(starts)))
    keep = np.ones(len(data), bool)
    for number in numbers:
        keep[starts[number] + 1 : ends[number] + 1] = False
    data.arrays["timeouts"][starts[numbers]] |= ~data.arrays["terminals"][starts[numbers]]
    changed = not keep.all()
    take(data, np.flatnonzero(keep))
    return bool(changed)
