"""What a description adds to a registered environment: wrappers, a reward, flat observations, rescaled actions.

From the inside to the outside:

1. ``wrappers``, the first one innermost;
2. ``reward``: a function ``(observation, action, next_observation, info) -> float`` of what the wrapped environment
   gives, before anything below: dictionaries are still dictionaries, actions in the environment's own units;
3. observations become a vector. Those of a goal environment (``observation``, ``achieved_goal``, ``desired_goal``)
   become ``observation`` followed by ``desired_goal``, and ``info["achieved_goal"]`` carries what was achieved. Other
   dictionaries, tuples, matrices and choices among a few are flattened as ``gymnasium.spaces.flatten`` does:

   - a dictionary key after key, in the order of its space: alphabetical, unless the environment built the space from
     keywords, pairs or an ``OrderedDict``; a dictionary within it in its place;
   - a tuple part after part, a matrix row after row;
   - a choice among n as n numbers, a 1 at what was chosen;

4. ``rescale_actions``: the policy's [-1, 1] is stretched to the bounds of the action space, both ends exactly.

Around it all, :class:`~awac_tr.envs.checked_env.CheckedEnv` makes float32 of the vector and holds rewards to
``reward_range``.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import FlattenObservation
from numpy.typing import NDArray

from awac_tr.envs.action_units import stretched
from awac_tr.envs.checked_env import name_of
from awac_tr.envs.imports import imported
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

__all__ = ["GOAL_KEYS", "GoalObservation", "NewReward", "StretchedActions", "add_wrappers", "leaves"]

GOAL_KEYS: Final = ("observation", "achieved_goal", "desired_goal")
"""What the observations of a goal environment are called."""

_PICTURE_AXES: Final = 3
Env = gymnasium.Env[Any, Any]
Rule = Callable[[Any, Any, Any, dict[str, Any]], Any]


def add_wrappers(env: Env, section: EnvSection) -> Env:
    """Add what the description says, so that observations and actions are vectors of real numbers.

    Raises:
        EnvError: a dotted name leads nowhere or to something else, a wrapper does not take its arguments, or spaces
            that no vector can stand for.
    """
    for wrapper in section.wrappers:
        name, kwargs = (wrapper, {}) if isinstance(wrapper, str) else (wrapper.name, wrapper.kwargs)
        env = _wrapped(env, name, kwargs)
    if section.reward is not None:
        env = NewReward(env, section.reward)
    env = _flat(env, section.id)
    _check_actions(env.action_space, section)
    return StretchedActions(env) if section.rescale_actions else env


class NewReward(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Replaces the reward by a function ``module:name`` of (observation, action, next observation, info).

    Raises:
        EnvError: the name leads nowhere, or to something else.
    """

    compute_reward = None
    """A goal environment's own rule is not the one of these rewards, and must not be found through this wrapper."""

    def __init__(self, env: Env, rule: str) -> None:
        RecordConstructorArgs.__init__(self, rule=rule)
        gymnasium.Wrapper.__init__(self, env)
        self._rule, self._name = _rule(rule), rule
        self._before: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_rule"}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        vars(self).update(saved)
        self._rule = _rule(self._name)  # by its name: other processes may not know the folder of its module yet

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment does."""
        observation, info = self.env.reset(seed=seed, options=options)
        self.begin_at(observation)
        return observation, info

    def begin_at(self, observation: Any) -> None:
        """Take this for the observation before the next action."""
        self._before = copy.deepcopy(observation)  # some environments hand out one array again and again

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment does, with the function's reward.

        Raises:
            EnvError: the function gives no finite number.
        """
        observation, _, terminated, truncated, info = self.env.step(action)
        reward = _number(self._rule(self._before, action, observation, info), self._name)
        self.begin_at(observation)
        return observation, reward, terminated, truncated, info


class GoalObservation(gymnasium.Wrapper[NDArray[Any], Any, Any, Any], RecordConstructorArgs):
    """A goal environment with vector observations: ``observation`` followed by ``desired_goal``.

    ``info["achieved_goal"]`` of every reset and step is what was achieved, [g].

    Args:
        env: gives dictionaries of ``observation``, ``achieved_goal`` and ``desired_goal``, the goals vectors.
    """

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        parts: Any = env.observation_space
        self._state = parts["observation"]
        state: Any = spaces.flatten_space(self._state)
        goal = parts["desired_goal"]
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
        state: Any = spaces.flatten(self._state, parts["observation"])
        return np.concatenate([state, parts["desired_goal"]])


class StretchedActions(gymnasium.ActionWrapper[Any, Any, Any], RecordConstructorArgs):
    """Takes actions in [-1, 1] and stretches them to the finite bounds of the environment's, both ends exactly."""

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        gymnasium.ActionWrapper.__init__(self, env)
        space: Any = env.action_space
        self._kind, self._low, self._high = space.dtype, space.low.astype(np.float64), space.high.astype(np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, space.shape, np.float32)

    def action(self, action: NDArray[Any]) -> NDArray[Any]:
        """The environment's action [a] for one in [-1, 1]."""
        stretched_action: NDArray[Any] = stretched(action, self._low, self._high).astype(self._kind)
        return stretched_action


def _wrapped(env: Env, name: str, kwargs: Mapping[str, Any]) -> Env:
    wrapper = imported(name)
    if not (inspect.isclass(wrapper) and issubclass(wrapper, gymnasium.Wrapper)):
        raise EnvError(f"{name} is no Gymnasium wrapper", "It has to be a class derived from gymnasium.Wrapper.")
    try:
        return wrapper(env, **kwargs)
    # Wrappers of others raise what they like on arguments they do not like.
    except Exception as error:
        raise EnvError(f"{name} cannot wrap {name_of(env)} with {dict(kwargs)}: {error}") from error


def _rule(name: str) -> Rule:
    rule = imported(name)
    if not callable(rule) or inspect.isclass(rule):
        raise EnvError(f"the reward {name} is no function", "It takes (observation, action, next_observation, info).")
    try:
        inspect.signature(rule).bind(None, None, None, {})
    except TypeError as error:
        raise EnvError(f"the reward {name} must take (observation, action, next_observation, info)") from error
    except ValueError:  # some functions written in C do not say what they take
        return cast("Rule", rule)
    return cast("Rule", rule)


def _number(reward: Any, name: str) -> float:
    plain = isinstance(reward, (int, float, np.number, np.bool_)) or (
        isinstance(reward, np.ndarray) and reward.ndim == 0 and reward.dtype.kind in "fiub"
    )
    if not plain or not math.isfinite(reward):
        raise EnvError(f"the reward {name} gave {reward!r:.60}, which is no finite number")
    return float(reward)


def _flat(env: Env, env_id: str) -> Env:
    space: Any = env.observation_space
    if _is_goal(space):
        return GoalObservation(env)
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return env
    pictures = _pictures(space)
    if pictures:
        hint = "Policies here see vectors; a wrapper (env.wrappers) can turn pictures into some, or leave them out."
        raise EnvError(f"the observations of {env_id} are pictures: {', '.join(pictures)}", hint)
    try:
        flat = FlattenObservation(env)
    except NotImplementedError:
        flat = None
    if flat is None or not isinstance(flat.observation_space, spaces.Box):
        hint = "A wrapper (env.wrappers) can make vectors of them."
        raise EnvError(f"the observations of {env_id} are {space}", hint)
    return flat


def leaves(space: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The parts of a space that are no dictionary and no tuple, however deep, with their dotted names."""
    inner: Any = {}
    if isinstance(space, spaces.Dict):
        inner = space.spaces
    elif isinstance(space, spaces.Tuple):
        inner = dict(enumerate(space.spaces))
    if not inner:
        yield prefix, space
    for name, part in inner.items():
        yield from leaves(part, f"{prefix}.{name}" if prefix else str(name))


def _pictures(space: Any) -> list[str]:
    return [f"{name} {part.shape}".strip() for name, part in leaves(space) if len(part.shape or ()) >= _PICTURE_AXES]


def _is_goal(space: Any) -> bool:
    if not isinstance(space, spaces.Dict) or set(space) != set(GOAL_KEYS):
        return False
    goals = [space["achieved_goal"], space["desired_goal"]]
    vectors = all(isinstance(goal, spaces.Box) and len(goal.shape) == 1 for goal in goals)
    return vectors and goals[0].shape == goals[1].shape and not (_pictures(space["observation"]))


def _check_actions(space: Any, section: EnvSection) -> None:
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        hint = "The policies here are Gaussians over continuous actions; there is no way to choose among a few."
        raise EnvError(f"the actions of {section.id} are discrete, {space}", hint)
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.dtype.kind != "f":
        raise EnvError(f"the actions of {section.id} are {space}", "The actions must be vectors of real numbers.")
    if section.rescale_actions and not all(map(math.isfinite, [*space.low, *space.high])):
        raise EnvError(f"the actions of {section.id} have no bounds to stretch to", "Leave env.rescale_actions out.")
