"""Defects of a file as a whole; see :mod:`validation.inject`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from validation.clean import Array, Data
from validation.formats import FORMATS, ROWS, Edit
from validation.inject import FLAT, NOT_SAID, PAIRS, Random, defect, size, states_of

GROUPED = ("ours", "d4rl", "minari", "robomimic", "hand_dapg")
OWN = ("ours",)
COLUMNS = "columns of a table have one length"
CORE = ("observations", "actions")


def _edit(data: Data, rng: Random, name: str, change: Callable[[Array], Array | None]) -> bool:
    one = int(rng.integers(len(data.starts))) if rng.random() < 0.5 else None
    data.edits.append(Edit(name, change, one))
    return True


@defect("missing-array", FLAT)
def missing_array(data: Data, rng: Random) -> bool:
    return _edit(data, rng, str(rng.choice(ROWS)), lambda _: None)


@defect("missing-array", ("minari", "robomimic", "hand_dapg", "lerobot"))
def missing_core(data: Data, rng: Random) -> bool:
    return _edit(data, rng, str(rng.choice(CORE)), lambda _: None)


@defect("shape", GROUPED, "a list in a column has no axes")
def shape(data: Data, rng: Random) -> bool:
    name = str(rng.choice(CORE))
    changes = [
        lambda rows: rows[..., None],
        lambda rows: rows[None],
        lambda rows: rows.ravel(),
        lambda rows: rows[:, 0],
    ]
    return _edit(data, rng, name, changes[rng.integers(len(changes))])


@defect("shape", ("ours", "d4rl", "minari", "robomimic"), "rewards are not kept, or are lists in a column")
def shape_of_rewards(data: Data, rng: Random) -> bool:
    return _edit(data, rng, str(rng.choice(["rewards", "terminals"])), lambda rows: rows[:, None])


@defect("dtype", OWN, "the format allows any type of number")
def dtype(data: Data, rng: Random) -> bool:
    name = str(rng.choice(ROWS))
    flags = name in {"terminals", "timeouts"}
    kind = rng.choice(["u1", "i8", "f4"] if flags else ["f8", "f2", "i4", "i8", ">f4"])
    return _edit(data, rng, name, lambda rows: rows.astype(kind))


@defect("dtype", FORMATS)
def dtype_of_actions(data: Data, rng: Random) -> bool:
    """Integers where fractions were: what was cut off is lost."""
    return _edit(data, rng, "actions", lambda rows: rows.astype(rng.choice(["i4", "i8", "i1"])))


@defect("rows", GROUPED, COLUMNS)
def rows(data: Data, rng: Random) -> bool:
    name = str(rng.choice(CORE))
    count, kind = size(rng, max(1, len(data) // 2)), rng.integers(3)

    def change(array: Array) -> Array:
        lost = min(count, len(array) - 1) or 1
        if kind == 0:
            return array[lost:]
        return array[:-lost] if kind == 1 else np.concatenate([array, array[:lost]])

    return _edit(data, rng, name, change)


@defect("extra-rows", ("ours", "d4rl"), "that is Minari's own layout; with the others one length serves all")
def extra_rows(data: Data, rng: Random) -> bool:
    ends, last = data.ends, data.arrays["next_observations"][data.ends]
    data.edits.append(Edit("observations", lambda array: np.insert(array, ends + 1, last, axis=0)))
    return True


@defect("extra-rows", ("robomimic", "hand_dapg"), "")
def extra_rows_of_episodes(data: Data, rng: Random) -> bool:
    data.edits.append(Edit("observations", lambda array: np.concatenate([array, array[-1:]])))
    return True


@defect("width", PAIRS, "there is one array of states")
def width(data: Data, rng: Random) -> bool:
    count = size(rng, 5)
    less = rng.random() < 0.5 and data.arrays["observations"].shape[1] > count
    wider = lambda rows: np.concatenate([rows, rows[:, :count]], axis=1)  # noqa: E731
    return _edit(data, rng, "next_observations", (lambda rows: rows[:, :-count]) if less else wider)


@defect("empty")
def empty(data: Data, rng: Random) -> bool:
    data.arrays = {name: rows[:0] for name, rows in data.arrays.items()}
    return True


@defect("incomplete")
def truncated(data: Data, rng: Random) -> bool:
    data.said["truncated"] = rng.uniform(0.05, 0.99)
    return True


@defect("incomplete", OWN, NOT_SAID)
def unfinished(data: Data, rng: Random) -> bool:
    data.said["complete"] = False
    return True


@defect("size", named=True)
def other_size(data: Data, rng: Random) -> bool:
    """Entries of the states or the actions left out, or more of them."""
    names = ["actions"] if rng.random() < 0.5 else ["observations", "next_observations"]
    width = data.arrays[names[0]].shape[1]
    count, less = size(rng, max(1, width - 1)), rng.random() < 0.5 and width > 1
    for name in names:
        rows = data.arrays[name]
        data.arrays[name] = rows[:, :-count] if less else np.concatenate([rows, rows[:, :count]], axis=1)
    if names == ["actions"]:
        wide = data.arrays["actions"].shape[1]
        data.said |= {"low": np.resize(data.low, wide), "high": np.resize(data.high, wide)}
    return True


@defect("hash", OWN, NOT_SAID)
def poked(data: Data, rng: Random) -> bool:
    """Bytes changed after the file was written, too little for anything else to see."""
    name, share = str(rng.choice(["rewards", "actions", "infos"])), rng.random()
    name = next((key for key in data.arrays if key.startswith(name)), "rewards")
    row = int(rng.integers(len(data)))

    def poke(place: str, rows: Array) -> Array:
        if place != name:
            return rows
        changed = rows.copy()
        values = changed[row]
        changed[row] = ~values if rows.dtype == bool else values * np.asarray(0.5 + 0.4 * share, rows.dtype) + 0.001
        return changed

    data.said["poke"] = poke
    return True


@defect("count", ("ours", "minari", "robomimic", "lerobot"), NOT_SAID)
def count_of_rows(data: Data, rng: Random) -> bool:
    data.said["transitions"] = _off(rng, len(data))
    return True


@defect("count", ("ours", "minari", "lerobot"), NOT_SAID)
def count_of_episodes(data: Data, rng: Random) -> bool:
    data.said["episodes"] = _off(rng, len(data.starts))
    return True


def _off(rng: Random, true: int) -> int:
    by = size(rng, true)
    return true - by if rng.random() < 0.5 and by < true else true + by


@defect("count", ("minari", "robomimic", "lerobot"), NOT_SAID)
def steps(data: Data, rng: Random) -> bool:
    number = int(rng.integers(len(data.starts)))
    data.said["steps"] = {number: int(data.ends[number] - data.starts[number] + 1) + size(rng, 100)}
    return True


@defect("count", OWN, NOT_SAID)
def seeds(data: Data, rng: Random) -> bool:
    data.said["seeds"] = max(0, len(data.starts) + int(rng.choice([-1, 1])) * size(rng, len(data.starts)))
    return True


@defect("bounds", ("ours", "minari"), NOT_SAID)
def bounds(data: Data, rng: Random) -> bool:
    count = len(data.low) + size(rng, 5) if len(data.low) == 1 or rng.random() < 0.5 else size(rng, len(data.low) - 1)
    data.said |= {"low": np.resize(data.low, count), "high": np.resize(data.high, count)}
    return True


@defect("bounds-env", ("ours", "minari"), NOT_SAID, named=True)
def bounds_env(data: Data, rng: Random) -> bool:
    """Some entries have wider bounds, so that no action lies outside."""
    low, high = data.low.copy(), data.high.copy()
    which = rng.choice(len(low), size(rng, len(low)), replace=False)
    factor = np.exp(rng.uniform(np.log(1.01), np.log(100)))
    low[which], high[which] = low[which] * factor, high[which] * factor
    data.said |= {"low": low, "high": high}
    return True


@defect("horizon-env", ("ours", "minari"), NOT_SAID, named=True)
def horizon_env(data: Data, rng: Random) -> bool:
    data.said["horizon"] = data.horizon + size(rng, 1000)
    return True


@defect("other-env", ("ours", "minari", "robomimic"), NOT_SAID, named=True)
def other_env(data: Data, rng: Random) -> bool:
    """The user says it is of an environment of which it is not."""
    others = {"Hopper-v5", "Walker2d-v5", "Pendulum-v1", "door-binary-v0", "HalfCheetah-v5", "relocate-binary-v0"}
    data.said["asked"] = str(rng.choice(sorted(others - {data.env_id})))
    return True


@defect("unknown-env", ("ours", "minari", "robomimic"), NOT_SAID, named=True)
def unknown_env(data: Data, rng: Random) -> bool:
    data.said["env_id"] = str(rng.choice(["Kitchen-v9", "lab/Arm-v0", "Lift", "walker2d-medium-v2"]))
    return True


@defect("foreign", OWN, "every file of others is one")
def foreign(data: Data, rng: Random) -> bool:
    data.said["without"] = ("format",)
    return bool(states_of(data)[0].size)
