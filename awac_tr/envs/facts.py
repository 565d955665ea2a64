"""What the rest of the tool must know of an environment without holding one: sizes, horizon, rewards, the goal rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.goal_rule import GoalRule, goal_rule
from awac_tr.envs.goals import (
    DOOR_HINGE,
    PEN_DISTANCE,
    PEN_SIMILARITY,
    RELOCATE_DISTANCE,
    door_reward,
    pen_reward,
    relocate_reward,
)
from awac_tr.envs.make import find_spec, horizon_of, make_env
from awac_tr.envs.sawyer.task import GOAL_SIZE, REWARD_RANGE, draw_goals, goal_reward, push_reward
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

__all__ = ["EnvFacts", "RewardRule", "env_facts"]

RewardRule = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class EnvFacts:
    """An environment as data loaders, losses and measures see it.

    Args:
        id: registered Gymnasium id, without a ``module:`` prefix.
        horizon: steps before an episode is cut.
        reward_range: smallest and largest reward of one step; infinite where nobody says.
        goal_steps: ``success_steps`` calls an episode solved with *more* goal steps than this; None: undefined.
        reward_rule: rewards [N] float32 of transitions from their next observations [N, o]; None: unknown.
        observation_size: length of the observation vector.
        action_size: length of the action vector.
        action_bounds: lowest and highest action, each ``action_size`` numbers, maybe infinite; None: not looked at.
        described: the description it was read from; None: the id and the horizon say all.
        goal: how rewards follow from goals; None: no goal environment, or one whose rewards do not, as far as is known.
    """

    id: str
    horizon: int
    reward_range: tuple[float, float]
    goal_steps: int | None
    reward_rule: RewardRule | None
    observation_size: int
    action_size: int
    action_bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    described: EnvSection | None = None
    goal: GoalRule | None = None

    @property
    def env(self) -> EnvSection:
        """The environment in one piece, for files: the horizon as it is, the id with a module that must be imported."""
        described = self.described or EnvSection(id=self.id)
        name = described.id if described.id in described.code else self.id
        return described.model_copy(update={"id": name, "horizon": self.horizon})


@dataclass(frozen=True)
class _Ours:
    """Facts of one of our environments, and the thresholds of its reward that keyword arguments may change."""

    sizes: tuple[int, int]
    goal_steps: int | None
    rule: Callable[..., NDArray[np.float32]]
    thresholds: Mapping[str, float]
    reward_range: tuple[float, float] = (-1.0, 0.0)
    goal: GoalRule | None = None


_OURS: Final[dict[str, _Ours]] = {
    "pen-binary-v0": _Ours((45, 24), 20, pen_reward, {"distance": PEN_DISTANCE, "similarity": PEN_SIMILARITY}),
    "door-binary-v0": _Ours((39, 28), 25, door_reward, {"hinge": DOOR_HINGE}),
    "relocate-binary-v0": _Ours((39, 30), 25, relocate_reward, {"distance": RELOCATE_DISTANCE}),
    "SawyerPush-v0": _Ours(
        (8, 2), None, push_reward, {}, REWARD_RANGE, GoalRule(GOAL_SIZE, reward=goal_reward, sample=draw_goals)
    ),
}


def env_facts(env: str | EnvSection) -> EnvFacts:
    """Facts of any registered environment with vector observations and continuous actions.

    Args:
        env: a Gymnasium id, for example ``door-binary-v0``, or the whole description; thresholds among its keyword
            arguments change ``reward_rule``.

    Raises:
        EnvError: unknown id, arguments that do not fit, spaces that are not vectors, or no horizon registered.

    >>> facts = env_facts("door-binary-v0")
    >>> facts.observation_size, facts.action_size, facts.horizon, facts.reward_range
    (39, 28, 200, (-1.0, 0.0))
    """
    section = EnvSection.of(env)
    spec = find_spec(section.id)
    ours = _OURS.get(spec.id)
    if ours is None or section.options.keys() - {"reward_range"}:
        return _dressed_facts(_facts_by_making(spec.id, section), ours)
    try:
        thresholds = {name: float(section.kwargs.get(name, value)) for name, value in ours.thresholds.items()}
    except (TypeError, ValueError) as error:
        raise EnvError(f"{spec.id} cannot be made with {section.kwargs}: {error}") from error
    return EnvFacts(
        id=spec.id,
        horizon=section.horizon or spec.max_episode_steps or 0,
        reward_range=section.reward_range or ours.reward_range,
        goal_steps=ours.goal_steps,
        reward_rule=partial(ours.rule, **thresholds),
        observation_size=ours.sizes[0],
        action_size=ours.sizes[1],
        action_bounds=((-1.0,) * ours.sizes[1], (1.0,) * ours.sizes[1]),
        described=section,
        goal=ours.goal,
    )


def _dressed_facts(made: EnvFacts, ours: _Ours | None) -> EnvFacts:
    """Success of ours is counted as ever, whatever is put around them."""
    return made if ours is None else replace(made, goal_steps=ours.goal_steps)


def _facts_by_making(env_id: str, section: EnvSection) -> EnvFacts:
    """Facts of an environment of others: make it once, read its spaces, close it."""
    env = make_env(section)
    try:
        observation_shape, action_shape = env.observation_space.shape, env.action_space.shape
        space: Any = env.action_space
        bounds = tuple(space.low.tolist()), tuple(space.high.tolist())
        horizon = horizon_of(env)
        # a reward of the user's own knows nothing of goals
        goal = goal_rule(env, env.goal_size, env_id) if env.goal_size and section.reward is None else None
    finally:
        env.close()
    return EnvFacts(
        id=env_id,
        horizon=horizon,
        reward_range=section.reward_range or (-np.inf, np.inf),
        goal_steps=None,
        reward_rule=None,
        observation_size=observation_shape[0] if observation_shape else 0,
        action_size=action_shape[0] if action_shape else 0,
        action_bounds=bounds,
        described=section,
        goal=goal,
    )
