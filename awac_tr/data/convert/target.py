"""The environment a recording is imported for, and the shape its episodes get there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.convert.recording import ImportSettings, Origin, Recorded, Recording
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.errors import DatasetError, EnvError
from awac_tr.recipes.schema import EnvSection, FoundEnv

if TYPE_CHECKING:
    from awac_tr.envs.action_units import ActionUnits, Conversion
    from awac_tr.envs.env_info import EnvInfo

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
        conversion: of recorded actions into those of the environment; None: they are the same.
    """

    meta: DatasetMeta
    facts: EnvInfo | None
    exact: bool
    notes: tuple[str, ...] = ()
    conversion: Conversion | None = None


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
    converted = _conversion(origin, settings, facts)
    if converted is not None:
        notes += (f"actions converted, {converted}",)
    if origin.export_card is not None and not (settings.env_id or settings.relabel):
        meta = origin.export_card.meta
        licence, horizon = settings.licence or meta.licence, settings.horizon or meta.horizon
        meta = dataclasses.replace(meta, licence=licence, horizon=horizon)
        return Target(meta, facts, exact=True, notes=notes)
    low, high, said = _bounds(recording, settings, facts)
    meta = _meta(origin, settings, facts, low, high)
    return Target(meta, facts, exact=False, notes=notes + said, conversion=converted)


def _conversion(origin: Origin, settings: ImportSettings, facts: EnvInfo | None) -> Conversion | None:
    """How the recorded actions become those of the environment that the user names.

    Raises:
        DatasetError: the user's word has no effect or contradicts the file, or nobody tells the units.
    """
    from awac_tr.envs.action_units import ActionUnits, conversion

    units = None if facts is None or not settings.env_id else facts.units
    if units is None:
        if settings.actions is not None:
            hint = "Its bounds are what raw and scaled actions differ by."
            raise DatasetError(f"{origin.name}: --actions {settings.actions} has no effect without --env", hint)
        return None
    if facts is not None and origin.export_card is not None:
        meta = origin.export_card.meta
        from awac_tr.envs.env_info import units_of_file

        noted = units_of_file(meta.env, meta.action_low, meta.action_high, facts)
        if settings.actions not in (None, "scaled" if noted.scaled else "raw"):
            hint = "Leave --actions out."
            raise DatasetError(f"{origin.name} was exported by awac-tr, its actions have bounds of {noted}", hint)
    else:
        noted = ActionUnits(units.raw, scaled=(settings.actions or _told(origin, units, facts)) == "scaled")
    try:
        return conversion(noted, units)
    except ValueError as error:
        raise DatasetError(f"{origin.name}: actions of {noted} cannot become {units}: {error}") from error


def _told(origin: Origin, units: ActionUnits, facts: EnvInfo | None) -> str:
    """Units by the bounds that the recording notes; raw where it notes none and no wrapper changes them."""
    from awac_tr.envs.action_units import bounds_text, same_bounds

    if units.raw is None:
        return "raw"
    if origin.action_low is None or origin.action_high is None:
        bare = None if facts is None else facts.bare_bounds
        if (
            bare is not None
            and all(np.isfinite(np.asarray(one)).all() for one in (*bare, *units.raw))
            and not same_bounds(bare, units.raw)
        ):
            changed = f"wrappers change the bounds of actions from {bounds_text(*bare)} to {bounds_text(*units.raw)}"
            message = f"{origin.name}: {changed}, and nothing tells on which side of them it was recorded"
            hint = "rescale_actions: true in place of a wrapper converts those of the bare environment; "
            raise DatasetError(message, f"{hint}--actions raw takes them as the wrapped one does.")
        return "raw"
    low, high = origin.action_low, origin.action_high
    if same_bounds((low, high), units.raw) or not np.isfinite([low, high]).all():
        return "raw"
    message = f"{origin.name} notes bounds of {bounds_text(low, high)} for its actions, those of --env are {units}"
    hint = "Say what they are: --actions raw, or --actions scaled where -1 and 1 stand for the bounds."
    raise DatasetError(message, hint)


def _facts(origin: Origin, settings: ImportSettings) -> tuple[EnvInfo | None, tuple[str, ...]]:
    from awac_tr.envs.env_info import env_info

    if settings.env_id:
        facts = env_info(settings.env_id)
        other = origin.env_id not in ("", facts.id)
        return facts, ((f"recorded in {origin.env_id}, imported for {facts.id}",) if other else ())
    if not origin.env_id:
        return None, ("no environment named: sizes and rewards are not checked (--env names one)",)
    unchecked = f"{origin.env_id} as the recording has it is not known here: sizes and rewards are not checked"
    # A stranger's id could name a module to import, and its arguments files to load.
    if origin.env_kwargs and origin.export_card is None:
        return None, (unchecked,)
    export_card = origin.export_card
    try:
        return env_info(FoundEnv(id=origin.env_id) if export_card is None else export_card.meta.env), ()
    except EnvError:
        return None, (unchecked,)


def _bounds(
    recording: Recording, settings: ImportSettings, facts: EnvInfo | None
) -> tuple[Array, Array, tuple[str, ...]]:
    origin = recording.origin
    if settings.env_id:
        return (*_env_bounds(settings.env_id), ())
    if origin.export_card is not None:
        return np.asarray(origin.export_card.meta.action_low), np.asarray(origin.export_card.meta.action_high), ()
    if origin.action_low is not None and origin.action_high is not None:
        return origin.action_low, origin.action_high, ()
    if facts is not None and facts.units is not None and facts.units.raw is not None:
        low, high = facts.units.raw
        return np.asarray(low, np.float32), np.asarray(high, np.float32), ()
    low, high = _recorded_range(recording)
    if np.all(np.abs([low, high]) <= 1):
        one = np.ones_like(low)
        return -one, one, ("action bounds taken as [-1, 1]: the recording has none, and its actions lie inside",)
    return low, high, (f"action bounds taken from the actions, [{low.min():.4g}, {high.max():.4g}]: --env knows them",)


def _env_bounds(env_id: str | EnvSection) -> tuple[Array, Array]:
    from awac_tr.envs.episode import action_bounds
    from awac_tr.envs.make import make_env

    env = make_env(env_id)
    try:
        return action_bounds(env)
    finally:
        env.close()


def _recorded_range(recording: Recording) -> tuple[Array, Array]:
    """Smallest and largest action [a], float32, over all episodes."""
    ranges, unusable = [], None
    for one in recording.episodes():
        if isinstance(one, UnusableEpisodeError):
            unusable = unusable or one
            continue
        actions = matrix(recording.origin.name, "actions", one.actions)
        finite = actions[np.isfinite(actions).all(axis=1)]
        if len(finite):
            ranges.append((finite.min(axis=0), finite.max(axis=0)))
    if not ranges:
        raise unusable or DatasetError(f"{recording.origin.name} holds no action without NaN or infinite numbers")
    if len({low.shape for low, _ in ranges}) > 1:
        raise DatasetError(f"{recording.origin.name}: episodes differ in the width of their actions")
    return np.min([low for low, _ in ranges], axis=0), np.max([high for _, high in ranges], axis=0)


def matrix(where: str, name: str, array: Array) -> Array:
    """Rows of numbers as float32 [T, width].

    Raises:
        UnusableEpisodeError: it has other axes or no numbers.
    """
    if array.ndim != 2 or array.dtype.kind not in "fiub":  # noqa: PLR2004  (rows and columns)
        message = f"{where}: {name} has shape {array.shape} and type {array.dtype}"
        raise UnusableEpisodeError(message, "Vectors of numbers, one row a transition, are needed.")
    with np.errstate(over="ignore"):  # becomes infinite, which the writer refuses by name
        return array.astype(np.float32, copy=False)


def _meta(origin: Origin, settings: ImportSettings, facts: EnvInfo | None, low: Array, high: Array) -> DatasetMeta:
    named, export_card = bool(settings.env_id), origin.export_card
    options = export_card.meta.env_options if export_card is not None else {}
    horizon = settings.horizon or (None if named else origin.horizon) or (facts.horizon if facts is not None else None)
    return DatasetMeta(
        env_id=facts.env.id if facts is not None else origin.env_id,
        source="import",
        action_low=low,
        action_high=high,
        env_kwargs=facts.env.kwargs if named and facts is not None else origin.env_kwargs,
        env_options=facts.env.options if named and facts is not None else options,
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
    if (bounds := len(target.meta.action_low)) != widths[1]:
        message = f"{one.where} has actions of {widths[1]} numbers, the bounds that the recording notes are {bounds}"
        raise DatasetError(message, "Name its environment with --env, whose bounds are taken.")


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
