"""The bodily facts of an environment: its spaces and their parts, its clock, the packages it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from typing import Any, Final, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation

from awac_tr.envs.wrappers import GOAL_KEYS, GoalObservation, leaves

__all__ = ["Clock", "Part", "SpaceDescription", "clock_of", "space_of", "versions_of"]

Env = gymnasium.Env[Any, Any]
Named = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Part:
    """Entries of a vector that belong together.

    Attributes:
        name: what they are.
        start: the first one, counted from 0.
        stop: behind the last one.
    """

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class SpaceDescription:
    """A space.

    Attributes:
        printed: much as Gymnasium prints it, without bounds; before anything is made of dictionaries and the like.
        size: length of the vector; None where no vector can be made of it.
        low: [size], -inf where there is no bound.
        high: [size].
        parts: of the vector, in order; empty where nobody says.
        names: of the entries, one each; empty where nobody says.
    """

    printed: str
    size: int | None
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    parts: tuple[Part, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clock:
    """Time in the simulator.

    Attributes:
        timestep: seconds of a step of the simulator.
        frame_skip: steps of the simulator in a step of the environment.
        dt: seconds of a step of the environment.
        frequency: steps of the environment in a second of simulated time, Hz.
    """

    timestep: float
    frame_skip: int
    dt: float
    frequency: float


def space_of(env: Env, named: Named = (), *, of: Literal["observation", "action"] = "observation") -> SpaceDescription:
    """A space of an environment, wrapped or bare; ``named``: parts of its observation, where known by heart."""
    space: Any = env.observation_space if of == "observation" else env.action_space
    layer = _flattening(env) if of == "observation" else None
    printed = _printed(layer.env.observation_space if layer is not None else space)
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        return SpaceDescription(printed, None)
    size = int(space.shape[0])
    low, high = (tuple(map(float, side)) for side in (space.low, space.high))
    if of == "action":
        return SpaceDescription(printed, size, low, high, names=_actuators(env.unwrapped, size))
    parts = named or (_flattened(layer) if layer is not None else _structure(env.unwrapped))
    return SpaceDescription(printed, size, low, high, _cut(parts, size))


def clock_of(env: Any) -> Clock | None:
    """The clock of a MuJoCo environment, unwrapped; None of others.

    >>> clock_of(gymnasium.make("HalfCheetah-v5").unwrapped)
    Clock(timestep=0.01, frame_skip=5, dt=0.05, frequency=20.0)
    """
    timestep = getattr(getattr(getattr(env, "model", None), "opt", None), "timestep", None)
    counts = (getattr(one, name, None) for one in _bodies(env) for name in ("frame_skip", "n_substeps"))
    frame_skip = next((count for count in counts if count), None)
    frames = env.metadata.get("render_fps")
    if timestep is None or not (frame_skip or frames):
        return None
    # Those that keep the number to themselves show a picture a step.
    frame_skip = int(frame_skip or round(1 / (frames * timestep)))
    dt = timestep * frame_skip
    return Clock(float(timestep), frame_skip, round(float(dt), 9), round(1 / dt, 6))


def versions_of(env: Any) -> dict[str, str]:
    """Packages whose classes an unwrapped environment is made of, with MuJoCo where it simulates; name -> version."""
    owners = {kind.__module__ for one in _bodies(env) for kind in type(one).__mro__}
    modules = {owner.partition(".")[0] for owner in owners} | {type(one).__module__ for one in vars(env).values()}
    tops = {module.lstrip("_").partition(".")[0] for module in modules}
    distributions = packages_distributions()
    names = {name for top in tops & _RELEVANT for name in distributions.get(top, ())}
    names |= {name for owner in owners for name in distributions.get(owner.partition(".")[0], ())}
    return {name: version(name) for name in sorted(names)}


_RELEVANT: Final = frozenset({"mujoco", "pygame", "Box2D", "metaworld"})
"""Simulators that an environment may keep objects of."""


def _bodies(env: Any) -> list[Any]:
    """The environment, and those it keeps inside without being a wrapper of them."""
    return [env, *(one for one in vars(env).values() if isinstance(one, gymnasium.Env))]


def _printed(space: Any) -> str:
    if isinstance(space, spaces.Dict):
        return f"Dict({', '.join(f'{name}: {_printed(part)}' for name, part in space.spaces.items())})"
    if isinstance(space, spaces.Tuple):
        return f"Tuple({', '.join(map(_printed, space.spaces))})"
    return f"Box{space.shape} {space.dtype}" if isinstance(space, spaces.Box) else " ".join(str(space).split())


def _flattening(env: Env) -> Any:
    """The outermost wrapper that makes a vector of observations; None where they were one."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, (FlattenObservation, GoalObservation)):
            return env
        env = env.env
    return None


def _flattened(layer: Any) -> Named:
    space = layer.env.observation_space
    if isinstance(layer, GoalObservation):
        return [(key, space[key].shape[0]) for key in GOAL_KEYS if key != "achieved_goal"]
    return [(name or "all", spaces.flatdim(part)) for name, part in leaves(space)]


def _structure(env: Any) -> Named:
    """What Gymnasium's MuJoCo environments say of themselves."""
    said = getattr(env, "observation_structure", None)
    if not isinstance(said, dict):
        return ()
    return [(name, size) for name, size in said.items() if size and not name.startswith("skipped_")]


def _cut(parts: Named, size: int) -> tuple[Part, ...]:
    """Parts with their places; none where their sizes do not fill the vector."""
    stops = np.cumsum([length for _, length in parts], dtype=int).tolist()
    if not stops or stops[-1] != size:
        return ()
    return tuple(Part(name, stop - length, stop) for (name, length), stop in zip(parts, stops, strict=True))


def _actuators(env: Any, size: int) -> tuple[str, ...]:
    """Names of a MuJoCo model's actuators, where there is one for each action entry."""
    model: Any = getattr(env, "model", None)
    if getattr(model, "nu", None) != size:
        return ()
    names = tuple(str(model.actuator(index).name) for index in range(size))
    return names if all(names) else ()
