"""What a description adds to a registered environment: wrappers, a reward, flat observations, rescaled actions.

From the inside to the outside:

1. ``wrappers``, the first one innermost;
2. ``reward``: a function ``(observation, action, next_observation, info) -> float`` of what the wrapped environment
   gives, before anything below;
3. observations become a vector. Those of a goal environment (``observation``, ``achieved_goal``, ``desired_goal``)
   become ``observation`` followed by ``desired_goal``, and ``info["achieved_goal"]`` carries what was achieved. Other
   dictionaries, tuples and matrices are flattened as ``gymnasium.spaces.flatten`` does: keys of a dictionary in
   alphabetical order, unless the environment gave them an order of its own;
4. ``rescale_actions``: the policy's [-1, 1] is stretched to the bounds of the action space.
"""

from __future__ import annotations

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation, RescaleAction
from numpy.typing import NDArray

from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

__all__ = ["GOAL_KEYS", "GoalObservation", "NewReward", "dressed", "imported"]

GOAL_KEYS: Final = ("observation", "achieved_goal", "desired_goal")
"""What the observations of a goal environment are called."""

_PICTURE_AXES: Final = 3
Env = gymnasium.Env[Any, Any]
Rule = Callable[[Any, Any, Any, dict[str, Any]], float]


def dressed(env: Env, section: EnvSection) -> Env:
    """Add what the description says, so that observations and actions are vectors of real numbers.

    Args:
        env: as ``gymnasium.make`` gives it.
        section: the description.

    Raises:
        EnvError: a dotted name leads nowhere or to something else, a wrapper does not take its arguments, or spaces
            that no vector can stand for.
    """
    for wrapper in section.wrappers:
        name, kwargs = (wrapper, {}) if isinstance(wrapper, str) else (wrapper.name, wrapper.kwargs)
        env = _wrapped(env, name, kwargs)
    if section.reward is not None:
        env = NewReward(env, _rule(section.reward))
    env = _flat(env, section.id)
    _check_actions(env.action_space, section)
    return RescaleAction(env, np.float32(-1), np.float32(1)) if section.rescale_actions else env


def imported(name: str) -> Any:
    """What ``module:name`` stands for; modules of the folder one works in are found as well.

    Raises:
        EnvError: there is no such module, or nothing of that name in it.
    """
    module, _, path = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: it must not stand before anything installed
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        hint = "It is written module:name, for example my_task:sparse for the function sparse of my_task.py here."
        raise EnvError(f"{name} cannot be imported: {error}", hint) from error
    return found


class NewReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Replaces the reward by a function of the step.

    Args:
        env: an environment.
        rule: gives the reward for (observation, action, next observation, info), in the environment's own terms.
    """

    def __init__(self, env: Env, rule: Rule) -> None:
        super().__init__(env)
        self._rule = rule
        self._before: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment does."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._before = _copied(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment does, with the function's reward."""
        observation, _, terminated, truncated, info = self.env.step(action)
        reward = float(self._rule(self._before, action, observation, info))
        self._before = _copied(observation)
        return observation, reward, terminated, truncated, info


class GoalObservation(gymnasium.Wrapper[NDArray[Any], Any, Any, Any]):
    """A goal environment with vector observations: ``observation`` followed by ``desired_goal``.

    ``info["achieved_goal"]`` of every reset and step is what was achieved, [g].

    Args:
        env: gives dictionaries of ``observation``, ``achieved_goal`` and ``desired_goal``, all vectors.
    """

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        parts: Any = env.observation_space
        state, goal = parts["observation"], parts["desired_goal"]
        low, high = (np.concatenate([getattr(state, side), getattr(goal, side)]) for side in ("low", "high"))
        self.observation_space = spaces.Box(low, high, dtype=np.result_type(state.dtype, goal.dtype).type)
        self.goal_size: int = goal.shape[0]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment does."""
        parts: Any
        parts, info = self.env.reset(seed=seed, options=options)
        return self.observation(parts), {**info, "achieved_goal": parts["achieved_goal"]}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment does."""
        parts: Any
        parts, reward, terminated, truncated, info = self.env.step(action)
        return self.observation(parts), reward, terminated, truncated, {**info, "achieved_goal": parts["achieved_goal"]}

    def observation(self, parts: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The vector for the dictionary."""
        return np.concatenate([parts["observation"], parts["desired_goal"]])


def _wrapped(env: Env, name: str, kwargs: Mapping[str, Any]) -> Env:
    wrapper = imported(name)
    if not (inspect.isclass(wrapper) and issubclass(wrapper, gymnasium.Wrapper)):
        raise EnvError(f"{name} is no Gymnasium wrapper", "It has to be a class derived from gymnasium.Wrapper.")
    try:
        return wrapper(env, **kwargs)
    # Wrappers of others raise what they like on arguments they do not like.
    except Exception as error:
        raise EnvError(f"{name} cannot wrap {_name(env)} with {dict(kwargs)}: {error}") from error


def _rule(name: str) -> Rule:
    rule = imported(name)
    if not inspect.isfunction(rule):
        raise EnvError(f"the reward {name} is no function", "It takes (observation, action, next_observation, info).")
    try:
        inspect.signature(rule).bind(None, None, None, {})
    except TypeError as error:
        raise EnvError(f"the reward {name} must take (observation, action, next_observation, info)") from error
    return rule


def _flat(env: Env, env_id: str) -> Env:
    """With observations that are vectors."""
    space: Any = env.observation_space
    if _is_goal(space):
        return GoalObservation(env)
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return env
    if isinstance(space, spaces.Box) and len(space.shape) == _PICTURE_AXES:
        hint = "Policies here see vectors; a wrapper (env.wrappers) can turn pictures into some."
        raise EnvError(f"the observations of {env_id} are pictures, {space.shape}", hint)
    try:
        return FlattenObservation(env)
    except NotImplementedError as error:
        hint = "A wrapper (env.wrappers) can make vectors of them."
        raise EnvError(f"the observations of {env_id} are {space}", hint) from error


def _is_goal(space: Any) -> bool:
    vectors = (spaces.Box,)
    return (
        isinstance(space, spaces.Dict)
        and set(space) == set(GOAL_KEYS)
        and all(isinstance(space[key], vectors) and len(space[key].shape or ()) == 1 for key in GOAL_KEYS)
    )


def _check_actions(space: Any, section: EnvSection) -> None:
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        hint = "The policies here are Gaussians over continuous actions; there is no way to choose among a few."
        raise EnvError(f"the actions of {section.id} are discrete, {space}", hint)
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.dtype.kind != "f":
        raise EnvError(f"the actions of {section.id} are {space}", "The actions must be vectors of real numbers.")
    if section.rescale_actions and not all(map(math.isfinite, [*space.low, *space.high])):
        raise EnvError(f"the actions of {section.id} have no bounds to stretch to", "Leave env.rescale_actions out.")


def _copied(observation: Any) -> Any:
    """Some environments hand out one array again and again."""
    if isinstance(observation, dict):
        return {name: _copied(value) for name, value in observation.items()}
    return observation.copy() if isinstance(observation, np.ndarray) else observation


def _name(env: Env) -> str:
    return env.spec.id if env.spec else str(env)
