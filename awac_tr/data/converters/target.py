"""The environment a recording is imported for, and the shape its episodes get there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.converters.recording import ImportSettings, Origin, Recorded, Recording
from awac_tr.data.meta import DatasetMeta
from awac_tr.errors import DatasetError, EnvError
from awac_tr.recipes.schema import EnvSection, FoundEnv

if TYPE_CHECKING:
    from awac_tr.envs.facts import EnvFacts

__all__ = ["Target", "find_target"]

Array = np.ndarray[Any, Any]

_ROUNDING: Final = 1e-5
"""By how much a reward may pass the environment's range: a few roundings of float32."""


@dataclass(frozen=True)
class Target:
    """What imported episodes are held against.

    Attributes:
        meta: what the dataset will say about itself.
        facts: the environment's; None where it is unknown here.
        exact: the recording is an export of ours, to come back to the bit.
        notes: what was assumed, in sentences.
    """

    meta: DatasetMeta
    facts: EnvFacts | None
    exact: bool
    notes: tuple[str, ...] = ()


def find_target(recording: Recording, settings: ImportSettings) -> Target:
    """Settle environment, bounds and horizon: what the user says, else what the recording says, else what it shows.

    Args:
        recording: open; gone through once where its action bounds are unknown.
        settings: what the user said.

    Raises:
        EnvError: the named environment is unknown.
        DatasetError: relabelling without an environment that has a rule.
    """
    origin = recording.origin
    facts, notes = _facts(origin, settings)
    if settings.relabel and (facts is None or facts.reward_rule is None):
        raise DatasetError(
            f"{origin.name}: there is no rule to relabel rewards by",
            "Name pen-binary-v0, door-binary-v0 or relocate-binary-v0 with --env.",
        )
    if origin.passport is not None and not (settings.env_id or settings.relabel):
        meta = origin.passport.meta
        licence, horizon = settings.licence or meta.licence, settings.horizon or meta.horizon
        meta = dataclasses.replace(meta, licence=licence, horizon=horizon)
        return Target(meta, facts, exact=True, notes=notes)
    low, high, said = _bounds(recording, settings)
    return Target(_meta(origin, settings, facts, low, high), facts, exact=False, notes=notes + said)


def _facts(origin: Origin, settings: ImportSettings) -> tuple[EnvFacts | None, tuple[str, ...]]:
    from awac_tr.envs.facts import env_facts

    if settings.env_id:
        facts = env_facts(settings.env_id)
        other = origin.env_id and origin.env_id != facts.id
        return facts, ((f"recorded in {origin.env_id}, imported for {facts.id}",) if other else ())
    if not origin.env_id:
        return None, ("no environment named: sizes and rewards are not checked (--env names one)",)
    unchecked = f"{origin.env_id} as the recording has it is not known here: sizes and rewards are not checked"
    # A stranger's id could name a module to import, and its arguments files to load.
    if origin.env_kwargs and origin.passport is None:
        return None, (unchecked,)
    passport = origin.passport
    try:
        return env_facts(FoundEnv(id=origin.env_id) if passport is None else passport.meta.env), ()
    except EnvError:
        return None, (unchecked,)


def _bounds(recording: Recording, settings: ImportSettings) -> tuple[Array, Array, tuple[str, ...]]:
    origin = recording.origin
    if settings.env_id:
        return (*_env_bounds(settings.env_id), ())
    if origin.action_low is not None and origin.action_high is not None:
        return origin.action_low, origin.action_high, ()
    low, high = _recorded_range(recording)
    if np.all(np.abs([low, high]) <= 1):
        one = np.ones_like(low)
        return -one, one, ("action bounds taken as [-1, 1]: the recording has none, and its actions lie inside",)
    return low, high, (f"action bounds taken from the actions, [{low.min():.4g}, {high.max():.4g}]: --env knows them",)


def _env_bounds(env_id: str | EnvSection) -> tuple[Array, Array]:
    from awac_tr.envs.make import make_env

    env = make_env(env_id)
    try:
        space: Any = env.action_space
        return np.asarray(space.low, np.float32), np.asarray(space.high, np.float32)
    finally:
        env.close()


def _recorded_range(recording: Recording) -> tuple[Array, Array]:
    """Smallest and largest action [a], float32, over all episodes."""
    blocks = (matrix(recording.origin.name, "actions", block) for block in recording.action_blocks())
    ranges = [(block.min(axis=0), block.max(axis=0)) for block in blocks if len(block)]
    if not ranges:
        raise DatasetError(f"{recording.origin.name} holds no episode")
    widths = {low.shape for low, _ in ranges}
    if len(widths) > 1:
        raise DatasetError(f"{recording.origin.name}: episodes differ in the width of their actions")
    return np.min([low for low, _ in ranges], axis=0), np.max([high for _, high in ranges], axis=0)


def matrix(where: str, name: str, array: Array) -> Array:
    """Rows of numbers as float32 [T, width].

    Raises:
        DatasetError: it has other axes or no numbers.
    """
    if array.ndim != 2 or array.dtype.kind not in "fiub":  # noqa: PLR2004  (rows and columns)
        message = f"{where}: {name} has shape {array.shape} and type {array.dtype}"
        raise DatasetError(message, "Vectors of numbers, one row a transition, are needed.")
    with np.errstate(over="ignore"):  # becomes infinite, which the writer refuses by name
        return array.astype(np.float32, copy=False)


def _meta(origin: Origin, settings: ImportSettings, facts: EnvFacts | None, low: Array, high: Array) -> DatasetMeta:
    named = bool(settings.env_id)
    horizon = settings.horizon or (None if named else origin.horizon) or (facts.horizon if facts is not None else None)
    return DatasetMeta(
        env_id=facts.env.id if facts is not None else origin.env_id,
        source="import",
        action_low=low,
        action_high=high,
        env_kwargs=facts.env.kwargs if named and facts is not None else origin.env_kwargs,
        env_options=facts.env.options if named and facts is not None else {},
        horizon=horizon,
        policy=origin.policy,
        licence=settings.licence,
        description=origin.description,
        extra={"imported_from": origin.name, "format": origin.format, **origin.extra},
    )


def check_sizes(one: Recorded, target: Target, observations: Array, actions: Array) -> None:
    """Refuse an episode whose widths are another environment's."""
    facts, widths = target.facts, (observations.shape[1], actions.shape[1])
    if facts is not None and widths != (facts.observation_size, facts.action_size):
        raise DatasetError(
            f"{one.where} has observations of {widths[0]} and actions of {widths[1]} numbers, "
            f"{facts.id} has {facts.observation_size} and {facts.action_size}",
            "Name the environment the recording is of with --env.",
        )


def check_rewards(one: Recorded, target: Target, rewards: Array) -> None:
    """Refuse rewards that the environment cannot give."""
    if target.facts is None:
        return
    low, high = target.facts.reward_range
    if len(rewards) and (rewards.min() < low - _ROUNDING or rewards.max() > high + _ROUNDING):
        rule = "--relabel replaces them by the environment's own. " if target.facts.reward_rule is not None else ""
        raise DatasetError(
            f"{one.where} has rewards from {rewards.min():.4g} to {rewards.max():.4g}, "
            f"{target.facts.id} gives {low:g} to {high:g}: they are those of another task",
            f"{rule}--env names the environment they belong to.",
        )
