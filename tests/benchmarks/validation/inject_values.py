"""Defects of rewards, actions and observations; see :mod:`validation.inject`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from awac_tr.envs.make import make_env
from validation.clean import EPISODE, FRAME, Array, Data
from validation.inject import (
    FORMATS,
    IMPLIED,
    NOT_SAID,
    PAIRS,
    RECOMPUTED,
    REWARDED,
    Random,
    defect,
    size,
    some,
    some_columns,
    states_of,
)

RULED = ("door-binary-v0", "FetchReach-v4")


# Numbers


def cells(data: Data, rng: Random, make: Callable[[int], Array], formats_keep_rewards: bool = True) -> bool:
    """Numbers of some rows of one array, replaced. A state stands in two arrays, and is spoiled in both."""
    names = ["observations", "actions"] + ["rewards"] * formats_keep_rewards
    name = str(rng.choice(names))
    rows = some(rng, np.arange(len(data)))
    array = data.arrays[name]
    if array.ndim == 1:
        array[rows] = make(len(rows))
        return True
    columns = rng.integers(array.shape[1], size=len(rows))
    array[rows, columns] = values = make(len(rows))
    if name == "observations":
        before = rows - 1
        kept = (before >= 0) & (data.arrays[FRAME][rows] > 0)
        data.arrays["next_observations"][before[kept], columns[kept]] = values[kept]
    return True


@defect("not-finite")
def not_finite(data: Data, rng: Random) -> bool:
    value = rng.choice([np.nan, np.inf, -np.inf])
    return cells(data, rng, lambda count: np.full(count, value), formats_keep_rewards=False)


@defect("not-finite", REWARDED, RECOMPUTED)
def not_finite_rewards(data: Data, rng: Random) -> bool:
    data.arrays["rewards"][some(rng, np.arange(len(data)))] = rng.choice([np.nan, np.inf, -np.inf])
    return True


@defect("denormal")
def denormal(data: Data, rng: Random) -> bool:
    return cells(
        data,
        rng,
        lambda count: rng.integers(1, 1 << 23, count).astype(np.uint32).view(np.float32),
        formats_keep_rewards=False,
    )


@defect("flag-values", REWARDED, "the format has no flags")
def flag_values(data: Data, rng: Random) -> bool:
    flags = data.arrays["terminals"].astype(np.float32)
    flags[some(rng, np.arange(len(data)))] = rng.choice([0.99, 0.5, 2, -1, 255, rng.random()])
    data.arrays["terminals"] = flags
    return True


# Rewards


@defect("reward-range", REWARDED, RECOMPUTED, envs=("door-binary-v0",), named=True)
def reward_range(data: Data, rng: Random) -> bool:
    rows = some(rng, np.arange(len(data)))
    data.arrays["rewards"][rows] = rng.choice([-1, 1], len(rows)) * 10 ** rng.uniform(0.1, 4, len(rows))
    return True


@defect("reward-rule", REWARDED, RECOMPUTED, envs=RULED, named=True)
def reward_rule(data: Data, rng: Random) -> bool:
    rows = some(rng, np.arange(len(data)))
    data.arrays["rewards"][rows] = -1 - data.arrays["rewards"][rows]
    return True


@defect("reward-shift", REWARDED, RECOMPUTED)
def reward_shift(data: Data, rng: Random) -> bool:
    by, rewards = int(rng.choice([-1, 1])), data.arrays["rewards"]
    if rng.random() < 0.5:
        shifted = np.roll(rewards, by)
    else:
        pieces = zip(data.starts, data.ends + 1, strict=True)
        shifted = np.concatenate([np.roll(rewards[start:stop], by) for start, stop in pieces])
    if (shifted == rewards).all():
        data.undetectable = FORMATS
    data.arrays["rewards"] = shifted
    return True


@defect("reward-constant", REWARDED, RECOMPUTED)
def reward_constant(data: Data, rng: Random) -> bool:
    changed = len(np.unique(data.arrays["rewards"])) > 1
    data.arrays["rewards"][:] = rng.choice([0, -1, rng.normal()])
    return changed


@defect("huge", REWARDED, RECOMPUTED)
def reward_absurd(data: Data, rng: Random) -> bool:
    """A marker of the recorder, an overflow, another unit."""
    rows = some(rng, np.arange(len(data)))
    kind = rng.integers(3)
    if kind == 0:
        data.arrays["rewards"][rows] = rng.choice([-1, 1]) * rng.choice([9999, 1e6, 2**31 - 1, 1e10, 3e38])
    else:
        largest = np.abs(data.arrays["rewards"]).max()
        data.arrays["rewards"][rows] = (1 + largest) * 10 ** rng.uniform(2, 10, len(rows))
    return True


@defect("success", ("ours", "d4rl", "minari", "lerobot"), NOT_SAID, envs=RULED)
def success(data: Data, rng: Random) -> bool:
    if "infos/success" not in data.arrays:
        return False
    rows = some(rng, np.arange(len(data)))
    data.arrays["infos/success"][rows] = ~data.arrays["infos/success"][rows]
    return True


# Actions


@defect("action-bounds")
def action_bounds(data: Data, rng: Random) -> bool:
    rows, actions = some(rng, np.arange(len(data))), data.arrays["actions"]
    columns = rng.integers(actions.shape[1], size=len(rows))
    half, sign = (data.high - data.low)[columns] / 2, rng.choice([-1, 1], len(rows))
    excess = half * 10 ** rng.uniform(-3, 1, len(rows))
    actions[rows, columns] = np.where(sign > 0, data.high[columns] + excess, data.low[columns] - excess)
    return True


@defect("action-scale")
def action_scale(data: Data, rng: Random) -> bool:
    """Raw units: some entries or all in radians, degrees, metres, steps of a motor."""
    actions = data.arrays["actions"]
    columns = some_columns(rng, actions.shape[1])
    scales = np.exp(rng.uniform(np.log(4), np.log(1000), len(columns))) ** rng.choice([-1, 1])
    offsets = rng.normal(size=len(columns)) * scales * rng.integers(2)
    actions[:, columns] = actions[:, columns] * scales + offsets
    return True


@defect("action-range")
def action_small(data: Data, rng: Random) -> bool:
    """All entries use a small part of their bounds."""
    data.arrays["actions"] *= np.float32(10 ** rng.uniform(-3, -1))
    return True


@defect("action-constant")
def action_constant(data: Data, rng: Random) -> bool:
    actions = data.arrays["actions"]
    columns = some_columns(rng, actions.shape[1])
    actions[:, columns] = rng.choice([np.zeros(len(columns)), rng.uniform(data.low, data.high)[columns]])
    return True


@defect("action-saturated")
def action_saturated(data: Data, rng: Random) -> bool:
    """Most entries, from six in ten on, lie on a bound."""
    actions, share = data.arrays["actions"], rng.uniform(0.6, 1)
    on = rng.random(actions.shape) < share
    middle = (data.low + data.high) / 2
    data.arrays["actions"] = np.where(on, np.where(actions > middle, data.high, data.low), actions).astype(np.float32)
    return True


# Observations and episodes


@defect("observation-space", envs=("Pendulum-v1", "MountainCarContinuous-v0"), named=True)
def observation_space(data: Data, rng: Random) -> bool:
    """Other units or normalised: in some entries of all rows, or of the rows of some episodes."""
    before, after = states_of(data)
    columns = some_columns(rng, before.shape[1])
    rows = np.isin(data.arrays[EPISODE], some(rng, np.arange(len(data.starts))))
    mean, deviation = before[:, columns].mean(axis=0), before[:, columns].std(axis=0) + 1e-6
    factor = np.exp(rng.uniform(np.log(1.5), np.log(1000)))
    for states in (before, after):
        part = states[np.ix_(rows, columns)]
        states[np.ix_(rows, columns)] = (part - mean) / deviation if factor < 5 else part * factor
    env = make_env(data.env_id)
    low, high = env.observation_space.low, env.observation_space.high
    env.close()
    if ((before >= low) & (before <= high) & (after >= low) & (after <= high)).all():
        data.undetectable = FORMATS
    return True


@defect("units")
def units(data: Data, rng: Random) -> bool:
    """Some episodes have entries of the state in other units than the rest."""
    before, after = states_of(data)
    if len(data.starts) < 2:
        return False
    numbers = some(rng, np.arange(len(data.starts)))
    rows = np.isin(data.arrays[EPISODE], numbers[: max(1, len(data.starts) // 2)])
    columns, factor = some_columns(rng, before.shape[1]), rng.choice([180 / np.pi, np.pi / 180, 1000, 0.001, 100])
    for states in (before, after):
        states[np.ix_(rows, columns)] *= np.float32(factor)
    return bool((before[np.ix_(rows, columns)] != 0).any())


@defect("observation-constant")
def observation_constant(data: Data, rng: Random) -> bool:
    before, after = states_of(data)
    columns = some_columns(rng, before.shape[1])
    varied = (before[:, columns] != before[0, columns]).any()
    before[:, columns] = after[:, columns] = rng.choice([np.zeros(len(columns)), before[0, columns]])
    return bool(varied)


@defect("next-is-current", PAIRS, IMPLIED)
def next_is_current(data: Data, rng: Random) -> bool:
    rows = np.isin(data.arrays[EPISODE], some(rng, np.arange(len(data.starts))))
    rows = rows if rng.random() < 0.5 else np.ones(len(data), bool)
    before, after = states_of(data)
    changed = (before[rows] != after[rows]).any()
    after[rows] = before[rows]
    return bool(changed)


@defect("duplicate", FORMATS)
def duplicate(data: Data, rng: Random) -> bool:
    """Episodes stand in the file once more, anywhere."""
    starts, ends = data.starts, data.ends
    count = size(rng, len(starts))
    order = list(range(len(starts)))
    for number in rng.choice(len(starts), count, replace=False):
        order.insert(int(rng.integers(len(order) + 1)), int(number))
    index = np.concatenate([np.arange(starts[number], ends[number] + 1) for number in order])
    lengths = [ends[number] - starts[number] + 1 for number in order]
    data.arrays = {name: rows[index] for name, rows in data.arrays.items()}
    data.arrays[EPISODE] = np.repeat(np.arange(len(order)), lengths)
    data.arrays[FRAME] = np.concatenate([np.arange(length) for length in lengths])
    return True
