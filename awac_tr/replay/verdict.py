"""What a replay means, in words: does this dataset belong to this simulator?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from awac_tr.replay.compare import EpisodeReplay
from awac_tr.replay.start import START_WORDS

__all__ = ["remarks", "verdict"]

_OTHER_PHYSICS: Final = (
    "other dynamics or rewards (simulator version, model, arguments), or observations of contact forces, which "
    "need more than the recorded state"
)
_MANY: Final = 0.1
"""Share of rows that depart each from its own state, above which the simulator and not the rows are suspected."""
_NAMED: Final = 5


def verdict(episodes: Sequence[EpisodeReplay], env_id: str, tolerance: float) -> str:
    """One sentence."""
    played = [one for one in episodes if one.possible]
    departed = [one for one in played if not one.agrees]
    if not departed:
        how = _how(played, tolerance)
        return f"belongs to {env_id} as installed: {_count(played, 'episode')} came out as recorded, {how}"
    if all(one.start == "rebuilt" for one in departed):
        return f"cannot be told for certain: the recorded starts are incomplete; {_likeness(departed)}"
    return (
        f"does not belong to {env_id} as installed, or was changed: "
        f"{len(departed)} of {_count(played, 'episode')} did not come out as recorded"
    )


def _how(episodes: Sequence[EpisodeReplay], tolerance: float) -> str:
    drifting = [one for one in episodes if not one.follows]
    if drifting:
        error = max(one.state_error for one in drifting)
        return (
            f"row by row within {tolerance:g}; played through, {_count(drifting, 'episode')} drift by up to {error:.2g}"
        )
    inexact = sum(not one.exact for one in episodes)
    return f"within {tolerance:g}, {inexact} of them not to the last bit" if inexact else "to the last bit"


def _likeness(episodes: Sequence[EpisodeReplay]) -> str:
    last = sum(one.last_reward_agrees for one in episodes)
    told = [one for one in episodes if None not in (one.success_recorded, one.success_replayed)]
    same = sum(one.success_recorded == one.success_replayed for one in told)
    success = f", success at any step in {same} of {len(told)}" if told else ""
    middle = _median([one.state_error for one in episodes])
    half = _median([one.error_growth[len(one.error_growth) // 2] for one in episodes if one.error_growth])
    apart = f"states are apart by {half:.2g} halfway and {middle:.2g} at most (medians)"
    return f"{apart}, the last reward agrees in {last} of {len(episodes)}{success}"


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def remarks(episodes: Sequence[EpisodeReplay], recorded: Mapping[str, str], installed: Mapping[str, str]) -> list[str]:
    """What stands out, a sentence each, likely causes first; versions are of packages, then and now."""
    found = []
    for concerns, say in _LOOKS:
        some = [one for one in episodes if concerns(one)]
        if some and (remark := say(some)):
            found.append(remark)
    changed = [
        f"{name} {recorded[name]} then, {installed.get(name, 'absent')} now"
        for name in _SIMULATOR
        if name in recorded and recorded[name] != installed.get(name)
    ]
    if changed:
        found.append(f"versions differ: {', '.join(changed)}; physics differs between versions of a simulator")
    return found


_SIMULATOR: Final = ("mujoco", "gymnasium", "gymnasium_robotics")


def _seeds(some: Sequence[EpisodeReplay]) -> str:
    error = max(one.seed_error or 0.0 for one in some)
    return (
        f"the seeds of {_named(some)} lead to other starts, by up to {error:.3g}: the "
        "environment draws its starts in another way, or the seeds are not those of these episodes"
    )


def _rebuilt(some: Sequence[EpisodeReplay]) -> str:
    error = max(one.start_error for one in some)
    return (
        f"{_count(some, 'episode')} begin {START_WORDS['rebuilt']} (off by up to {error:.2g}): the recorded one has "
        "the hand at zero, and velocities were never recorded, so states depart although nothing need be wrong"
    )


def _rows(some: Sequence[EpisodeReplay]) -> str:
    checked = sum(one.rows_checked for one in some)
    bad = [(one.index, row) for one in some for row in one.row_departures]
    if not bad:
        return ""
    few = len(bad) <= _MANY * checked
    cause = "something in those rows was changed, or contacts are solved otherwise" if few else _OTHER_PHYSICS
    named = ", ".join(f"episode {index} row {row}" for index, row in bad[:_NAMED])
    more = ", ..." if len(bad) > _NAMED else ""
    return f"{len(bad):,} of {checked:,} rows do not follow from their own recorded state ({named}{more}): {cause}"


def _poses(some: Sequence[EpisodeReplay]) -> str:
    error = max(one.pose_error for one in some)
    return (
        f"recorded simulator states of {_named(some)} are not those of the rows, "
        f"by up to {error:.3g}, first before step {some[0].first_pose_departure}"
    )


def _rewards(some: Sequence[EpisodeReplay]) -> str:
    if any(one.start == "rebuilt" for one in some):
        return ""
    steps = range(sum(one.reward_departures for one in some))
    said = f"rewards differ in {_count(steps, 'step')} of {_named(some)}"
    if all(one.first_departure is None for one in some):
        said += ", where states agree: they follow another rule, or were changed"
    shifts = {one.reward_shift for one in some}
    if shifts == {1}:
        said += "; they agree when moved back by a step: each is the reward of the row before"
    elif shifts == {-1}:
        said += "; they agree when moved on by a step: each is the reward of the row after"
    return said


_LOOKS: Final[tuple[tuple[Callable[[EpisodeReplay], bool], Callable[[Sequence[EpisodeReplay]], str]], ...]] = (
    (lambda one: one.start == "rebuilt", _rebuilt),
    (lambda one: not one.possible, lambda some: f"{_count(some, 'episode')} could not be begun {_why(some)}"),
    (
        lambda one: one.possible and bool(one.problem),
        lambda some: f"the simulator failed in {_count(some, 'episode')} {_why(some)}",
    ),
    (lambda one: one.seed_departs, _seeds),
    (lambda one: one.first_pose_departure is not None and one.first_departure is None, _poses),
    (lambda one: one.rows_checked > 0, _rows),
    (lambda one: one.reward_departures > 0, _rewards),
    (lambda one: one.end != "as recorded", lambda some: f"{_named(some)} end otherwise: {some[0].end}"),
)
"""Which episodes a remark is about, and the remark."""


def _why(episodes: Sequence[EpisodeReplay]) -> str:
    return f"({_which(episodes)}): {episodes[0].problem}"


def _named(episodes: Sequence[EpisodeReplay]) -> str:
    return f"{_count(episodes, 'episode')} ({_which(episodes)})"


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things):,} {name}" + ("s" if len(things) != 1 else "")


def _which(episodes: Sequence[EpisodeReplay]) -> str:
    numbers = ", ".join(str(one.index) for one in episodes[:_NAMED])
    return numbers + (", ..." if len(episodes) > _NAMED else "")
