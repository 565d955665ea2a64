"""An environment's description as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from awac_tr.envs.describe.describe import EnvDescription
    from awac_tr.envs.describe.space_description import SpaceDescription

__all__ = ["bounds_text", "entry_rows", "fact_rows"]

_FEW: Final = 12


def fact_rows(env: EnvDescription, datasets: Sequence[str]) -> list[tuple[str, str]]:
    """What is known, a row each; what nobody says is left out."""
    return [(name, words) for name, words in _facts(env, datasets) if words]


def _facts(env: EnvDescription, datasets: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield "task", env.task
    if not env.trainable:
        yield "awac-tr", "cannot train here: " + env.problem.replace("\n", ". ")
    elif env.problem:
        yield "trouble", env.problem.replace("\n", " ")
    yield "observation", _space_text(env.observation)
    yield "action", _space_text(env.action)
    yield "horizon", _horizon_text(env)
    if env.clock is not None:
        skip = f"{env.clock.frame_skip} simulator steps of {env.clock.timestep * 1000:.4g} ms"
        yield "a step", f"{env.clock.dt:.4g} s, so {env.clock.frequency:.4g} Hz: {skip}"
    yield "reward", env.reward
    yield "rewards", "{:g} to {:g}".format(*env.reward_range) if env.reward_range else ""
    yield "settings", ", ".join(f"{name} {_setting(value)}" for name, value in env.settings.items())
    yield "success", env.success
    if env.goal_steps is not None:
        yield "success_steps", f"an episode with more than {env.goal_steps} steps of success"
    yield "ends", env.end
    yield "goal", _goal_text(env)
    yield "info", ", ".join(env.info)
    yield "versions", ", ".join(f"{name} {version}" for name, version in env.versions.items())
    yield "recipes", ", ".join(name + _with(env.uses.kwargs.get(name)) for name in env.uses.recipes)
    yield "dataset cards", ", ".join(env.uses.cards)
    yield "datasets here", ", ".join(datasets)
    for line in env.python:
        yield "in Python", line


def entry_rows(space: SpaceDescription) -> list[tuple[str, str]]:
    """The parts of a vector, a row each."""
    return [
        (str(part.start) if part.stop - part.start == 1 else f"{part.start}-{part.stop - 1}", part.name)
        for part in space.parts
    ]


def bounds_text(low: Sequence[float], high: Sequence[float]) -> str:
    """Bounds of a vector in words.

    >>> bounds_text([-1.0, -1.0], [1.0, 1.0]), bounds_text([-1.0, -8.0], [1.0, 8.0])
    ('-1 to 1 each', '-1 to 1, -8 to 8')
    >>> bounds_text([-math.inf] * 3, [math.inf] * 3)
    'no bounds'
    """
    if all(map(math.isinf, [*low, *high])):
        return "no bounds"
    pairs = [f"{below:.4g} to {above:.4g}" for below, above in zip(low, high, strict=True)]
    if len(set(pairs)) == 1:
        return pairs[0] if len(pairs) == 1 else f"{pairs[0]} each"
    if len(pairs) <= _FEW:
        return ", ".join(pairs)
    return f"within {min(low):.4g} to {max(high):.4g}, see --json"


def _space_text(space: SpaceDescription) -> str:
    if space.size is None:
        return space.printed
    words = f"{space.size} number{'s' * (space.size != 1)}, {bounds_text(space.low, space.high)}"
    if 0 < len(space.names) <= _FEW:
        words += f": {', '.join(space.names)}"
    return words if space.printed.startswith("Box") else f"{words}; made of {space.printed}"


def _horizon_text(env: EnvDescription) -> str:
    if env.horizon is None:
        return ""
    seconds = f", {env.horizon * env.clock.dt:.4g} s" if env.clock else ""
    return f"{env.horizon} steps{seconds}"


def _with(kwargs: Mapping[str, Any] | None) -> str:
    return f" (with {', '.join(f'{name}={value}' for name, value in kwargs.items())})" if kwargs else ""


def _setting(value: Any) -> str:
    return "{:g} to {:g}".format(*value) if isinstance(value, tuple) else f"{value:g}"


def _goal_text(env: EnvDescription) -> str:
    if env.goal is None:
        return ""
    words = f"the last {env.goal.size} numbers of the observation; "
    words += "rewards of other goals can be computed" if env.goal.rewards else "rewards of other goals are not known"
    return words + (", and new goals drawn" if env.goal.fresh else "")
