"""The goal rule of an environment: what a transition is worth, and whether it ends the task, by another goal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import EnvError

__all__ = ["GoalRule", "goal_rule"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_PROBED: Final = 3
"""Rows with which it is found out whether a rule takes rows."""


@dataclass(frozen=True)
class GoalRule:
    """How rewards follow from goals.

    Args:
        size: g, numbers of a goal.
        reward: goals achieved after transitions [N, g], goals desired [N, g] -> rewards [N] float32.
        terminated: the same -> whether the task ended there, [N] bool; None: that does not depend on the goal, or
            the environment does not say.
        sample: (n, random generator) -> goals [n, g] float32 of the environment's own distribution; None: it does not
            offer that.
    """

    size: int
    reward: Callable[[Floats, Floats], Floats]
    terminated: Callable[[Floats, Floats], Bools] | None = None
    sample: Callable[[int, np.random.Generator], Floats] | None = None


def goal_rule(env: gymnasium.Env[Any, Any], size: int, name: str) -> GoalRule | None:
    """The rule of a goal environment, from its own methods; None: it has no ``compute_reward``.

    ``compute_reward(achieved, desired, info)`` and ``compute_terminated(achieved, desired, info)`` are those of
    Gymnasium-Robotics, over rows, and are given an empty ``info``; ``sample_goals(n, rng)`` draws goals [n, g]. The
    outermost wrapper that has a method is the one that counts. A ``compute_terminated`` that does not take rows is
    left aside where it is False also for a goal that is reached. The rule keeps the environment, which may be closed.
    """
    reward = _method(env, "compute_reward")
    if reward is None:
        return None
    sample = _method(env, "sample_goals")
    return GoalRule(
        size=size,
        reward=_Rows(reward, np.float32, f"compute_reward of {name}"),
        terminated=_termination(_method(env, "compute_terminated"), size, f"compute_terminated of {name}"),
        sample=None if sample is None else _Sample(sample, size, f"sample_goals of {name}"),
    )


def _method(env: gymnasium.Env[Any, Any], name: str) -> Callable[..., Any] | None:
    try:
        found = env.get_wrapper_attr(name)
    except AttributeError:
        return None
    return found if callable(found) else None


def _termination(method: Callable[..., Any] | None, size: int, name: str) -> _Rows | None:
    if method is None:
        return None
    goals = np.zeros((_PROBED, size), np.float32)
    try:
        if np.shape(method(goals, goals, {})) == (_PROBED,) or bool(method(goals[0], goals[0], {})):
            return _Rows(method, np.bool_, name)  # that one which takes no rows says so when it is called
    except Exception:  # noqa: BLE001  (others may raise what they like, and NotImplementedError is usual)
        return None
    return None


class _Rows:
    """A rule of the environment's over rows, held to its word: one number a row, and finite."""

    def __init__(self, method: Callable[..., Any], kind: type[Any], name: str) -> None:
        self._method, self._kind, self._name = method, kind, name

    def __call__(self, achieved: Floats, desired: Floats) -> NDArray[Any]:
        found = _called(self._name, self._method, achieved, desired, {})
        if found.shape != (len(achieved),):
            hint = "It must take rows: achieved [N, g], desired [N, g], info -> [N]."
            raise EnvError(f"{self._name} gave shape {found.shape} for {len(achieved)} rows", hint)
        if not np.isfinite(found).all():
            raise EnvError(f"{self._name} gave NaN or infinity")
        return found.astype(self._kind, copy=False)


class _Sample:
    def __init__(self, method: Callable[..., Any], size: int, name: str) -> None:
        self._method, self._size, self._name = method, size, name

    def __call__(self, count: int, rng: np.random.Generator) -> Floats:
        goals: Floats = _called(self._name, self._method, count, rng, kind=np.float32)
        if goals.shape != (count, self._size) or not np.isfinite(goals).all():
            raise EnvError(f"{self._name} gave shape {goals.shape}, or no finite numbers, for {count} goals")
        return goals


def _called(name: str, method: Callable[..., Any], *arguments: Any, kind: type[Any] | None = None) -> NDArray[Any]:
    try:
        return np.asarray(method(*arguments), kind)
    except Exception as error:
        raise EnvError(f"{name} raised {type(error).__name__}: {error}") from error
