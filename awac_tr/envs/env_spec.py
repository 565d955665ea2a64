"""What a dataset has to say of the environment it is recorded in, read from the environment itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from awac_tr.envs.checked_env import CheckedEnv, name_of
from awac_tr.errors import EnvError

__all__ = ["EnvRecord", "env_record"]

_PLAIN: Final = ("OrderEnforcing", "PassiveEnvChecker", "TimeLimit", CheckedEnv.__name__)
"""Wrappers that every made environment has, and that change nothing the id and the horizon do not say."""


@dataclass(frozen=True)
class EnvRecord:
    """An environment as others would have to make it.

    Attributes:
        env_id: registered id; empty where it has none, or where wrappers changed its observations or actions so much
            that the id would mislead.
        env_kwargs: keyword arguments it was made with, without ``render_mode``.
        horizon: steps before an episode is cut; None where nobody says.
        action_low: [a] float64.
        action_high: [a] float64.
        wrappers: names of the wrappers around it, the outermost first; those that ``gymnasium.make`` adds left out.
    """

    env_id: str
    env_kwargs: dict[str, Any]
    horizon: int | None
    action_low: NDArray[np.float64]
    action_high: NDArray[np.float64]
    wrappers: list[str]


def env_record(env: Any) -> EnvRecord:
    """Read it from a Gymnasium environment, registered or not.

    Raises:
        EnvError: it is none, or its observations or actions are no vectors.

    >>> record = env_record(gymnasium.make("Pendulum-v1", g=9.81, render_mode="rgb_array"))
    >>> record.env_id, record.env_kwargs, record.horizon, record.action_low.tolist()
    ('Pendulum-v1', {'g': 9.81}, 200, [-2.0])
    """
    _check_spaces(env)
    spec, space = env.spec, env.action_space
    known = spec is not None and _same_spaces(env)
    return EnvRecord(
        env_id=spec.id if known else "",
        env_kwargs={name: value for name, value in spec.kwargs.items() if name != "render_mode"} if known else {},
        horizon=spec.max_episode_steps if spec is not None else None,
        action_low=space.low.astype(np.float64),
        action_high=space.high.astype(np.float64),
        wrappers=_wrappers(env),
    )


def _check_spaces(env: Any) -> None:
    if not isinstance(env, gymnasium.Env):
        hint = "Several environments at once are recorded through a TorchRL collector, with DatasetSink."
        raise EnvError(f"{type(env).__name__} is no single Gymnasium environment", hint)
    for what, space, kinds in (("observations", env.observation_space, "fiu"), ("actions", env.action_space, "f")):
        if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.dtype.kind not in kinds:
            hint = "A dataset holds vectors of numbers."
            if what == "observations":
                hint += " gymnasium.wrappers.FlattenObservation makes one of a dict or a matrix."
            raise EnvError(f"the {what} of {name_of(env)} are {space}", hint)


def _same_spaces(env: gymnasium.Env[Any, Any]) -> bool:
    """The wrappers leave observations and actions in the form the bare environment has."""
    pairs = ((env.observation_space, env.unwrapped.observation_space), (env.action_space, env.unwrapped.action_space))
    if any(not isinstance(inner, spaces.Box) or outer.shape != inner.shape for outer, inner in pairs):
        return False
    outer, inner = pairs[1]
    return bool(np.array_equal(outer.low, inner.low) and np.array_equal(outer.high, inner.high))  # type: ignore[attr-defined]


def _wrappers(env: gymnasium.Env[Any, Any]) -> list[str]:
    names: list[str] = []
    while isinstance(env, gymnasium.Wrapper):
        names.append(type(env).__name__)
        env = env.env
    return [name for name in names if name not in _PLAIN]
