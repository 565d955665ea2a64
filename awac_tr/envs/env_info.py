"""What the rest of the tool must know of an environment without holding one: sizes, horizon, rewards, the goal rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from awac_tr.envs.action_units import ActionUnits, Bounds
from awac_tr.envs.episode import inner_bounds
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
from awac_tr.envs.sawyer.task import (
    GOAL_SIZE,
    HIGH,
    LOW,
    REWARD_RANGE,
    SEEN_HIGH,
    SEEN_LOW,
    draw_goals,
    goal_reward,
    push_reward,
)
from awac_tr.envs.state import has_pose
from awac_tr.envs.termination_rules import TerminationRule, termination_of
from awac_tr.errors import AwacError, EnvError
from awac_tr.recipes.environment import EnvSection, FoundEnv, differing_keys

__all__ = ["EnvInfo", "RewardRule", "env_info"]

RewardRule = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Limits = tuple[tuple[float, ...], tuple[float, ...]]

_made: dict[str, tuple[EnvSpec, EnvInfo]] = {}


@dataclass(frozen=True)
class EnvInfo:
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
        raw_bounds: of the environment's own actions, where ``rescale_actions`` stretches to them; None: there is no
            difference.
        bare_bounds: those without any wrapper; None: not looked at, or no bounds.
        observation_bounds: lowest and highest observation, as float32 has them; None: not looked at.
        terminates: False: only time ends an episode; True: it can end by itself; None: unknown.
        termination: tells from next observations where episodes end; None: no such rule is known.
        has_state: there is a MuJoCo state to record.
    """

    id: str
    horizon: int
    reward_range: tuple[float, float]
    goal_steps: int | None
    reward_rule: RewardRule | None
    observation_size: int
    action_size: int
    action_bounds: Limits | None = None
    described: EnvSection | None = None
    goal: GoalRule | None = None
    raw_bounds: Limits | None = None
    bare_bounds: Limits | None = None
    observation_bounds: Limits | None = None
    terminates: bool | None = None
    termination: TerminationRule | None = None
    has_state: bool = False

    @property
    def units(self) -> ActionUnits | None:
        """What the numbers of its actions mean; None where nobody looked."""
        raw: Bounds | None = self.raw_bounds or self.action_bounds
        return None if raw is None else ActionUnits(raw, scaled=self.env.rescale_actions)

    @property
    def inner_bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lowest and highest action, [a] float32 each, none outside ``action_bounds``."""
        return inner_bounds(*(self.action_bounds or ((), ())))

    @property
    def env(self) -> EnvSection:
        """The environment in one piece, for files: the horizon as it is, the id with a module that must be imported."""
        described = self.described or EnvSection(id=self.id)
        name = described.id if described.id in described.code else self.id
        return described.model_copy(update={"id": name, "horizon": self.horizon})


@dataclass(frozen=True)
class _Ours:
    """Facts of one of our environments, and the thresholds of its reward that keyword arguments may change."""

    # known without making one, which takes longer than looking at a file

    sizes: tuple[int, int]
    goal_steps: int | None
    rule: Callable[..., NDArray[np.float32]]
    thresholds: Mapping[str, float]
    reward_range: tuple[float, float] = (-1.0, 0.0)
    goal: GoalRule | None = None
    seen: tuple[ArrayLike, ArrayLike] | None = None


_SEEN: Final = (np.r_[SEEN_LOW, SEEN_LOW, LOW, LOW], np.r_[SEEN_HIGH, SEEN_HIGH, HIGH, HIGH])
_OURS: Final[dict[str, _Ours]] = {
    "pen-binary-v0": _Ours((45, 24), 20, pen_reward, {"distance": PEN_DISTANCE, "similarity": PEN_SIMILARITY}),
    "door-binary-v0": _Ours((39, 28), 25, door_reward, {"hinge": DOOR_HINGE}),
    "relocate-binary-v0": _Ours((39, 30), 25, relocate_reward, {"distance": RELOCATE_DISTANCE}),
    "SawyerPush-v0": _Ours(
        (8, 2), None, push_reward, {}, REWARD_RANGE, GoalRule(GOAL_SIZE, reward=goal_reward, sample=draw_goals), _SEEN
    ),
}


def env_info(env: str | EnvSection) -> EnvInfo:
    """Facts of any registered environment with vector observations and continuous actions.

    One of others is made for them, once in the life of the process; of ours they are known.

    Args:
        env: a Gymnasium id, for example ``door-binary-v0``, or the whole description; thresholds among its keyword
            arguments change ``reward_rule``.

    Raises:
        EnvError: unknown id, arguments that do not fit, spaces that are not vectors, or no horizon registered.

    >>> facts = env_info("door-binary-v0")
    >>> facts.observation_size, facts.action_size, facts.horizon, facts.reward_range
    (39, 28, 200, (-1.0, 0.0))
    """
    section = EnvSection.of(env)
    spec = find_spec(section.id)
    ours = _OURS.get(spec.id)
    if ours is None or section.options.keys() - {"reward_range"}:
        made = _made_once(spec, section)
        # success of ours is counted as ever, whatever is put around them
        return made if ours is None else replace(made, goal_steps=ours.goal_steps)
    try:
        thresholds = {name: float(section.kwargs.get(name, value)) for name, value in ours.thresholds.items()}
    except (TypeError, ValueError) as error:
        raise EnvError(f"{spec.id} cannot be made with {section.kwargs}: {error}") from error
    low, high = ours.seen or (np.full(ours.sizes[0], -np.inf), np.full(ours.sizes[0], np.inf))
    return EnvInfo(
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
        observation_bounds=_limits(low, high, np.float32),
        terminates=False,
        has_state=True,
    )


def _made_once(spec: EnvSpec, section: EnvSection) -> EnvInfo:
    """The same object for the same description, as long as nothing else is registered under its id."""
    key = repr(section.model_dump())
    known = _made.get(key)
    if known is None or known[0] is not spec:
        _made[key] = known = (spec, _by_making(spec.id, section))
    return known[1]


def _by_making(env_id: str, section: EnvSection) -> EnvInfo:
    env = make_env(section)
    try:
        states, actions, bare = env.observation_space, env.action_space, env.unwrapped.action_space
        stretched: Any = env.env
        raw = _limits_of(stretched.env.action_space) if section.rescale_actions else None
        # wrappers may end episodes, and show other observations than the rules know
        terminates, rule = (None, None) if section.wrappers else termination_of(env_id, env.unwrapped)
        return EnvInfo(
            id=env_id,
            horizon=horizon_of(env),
            reward_range=section.reward_range or (-np.inf, np.inf),
            goal_steps=None,
            reward_rule=None,
            observation_size=(states.shape or (0,))[0],
            action_size=(actions.shape or (0,))[0],
            action_bounds=_limits_of(actions),
            described=section,
            # a reward of the user's own knows nothing of goals
            goal=goal_rule(env, env.goal_size, env_id) if env.goal_size and section.reward is None else None,
            raw_bounds=raw,
            bare_bounds=_limits_of(bare) if isinstance(bare, Box) else None,
            observation_bounds=_limits_of(states),
            terminates=terminates,
            termination=rule,
            has_state=has_pose(env),
        )
    finally:
        env.close()


def _limits_of(space: Any) -> Limits:
    return _limits(space.low, space.high, space.dtype)


def _limits(low: ArrayLike, high: ArrayLike, kind: Any) -> Limits:
    return tuple(np.asarray(low, kind).tolist()), tuple(np.asarray(high, kind).tolist())


def units_of_file(found: EnvSection | None, low: ArrayLike, high: ArrayLike, env: EnvInfo) -> ActionUnits:
    """Units of the actions of a dataset or a policy, as its file describes them.

    Args:
        found: the environment that the file names; None: none.
        low: noted lower bounds of its actions [a].
        high: noted upper bounds.
        env: the environment it is used in, which may tell what the file does not.
    """
    if found is None or not found.rescale_actions:
        return ActionUnits((low, high))
    if env.units is not None and not differing_keys(found, env.env).keys() & {"id", "kwargs", "wrappers"}:
        return ActionUnits(env.units.raw, scaled=True)
    return ActionUnits(_own_bounds(found, env.env), scaled=True)


def _own_bounds(found: EnvSection, used: EnvSection) -> Bounds | None:
    """Bounds of the action space of a described environment; None where it may not or cannot be made."""
    try:
        known = found.checked(own=used) if isinstance(found, FoundEnv) else found
        return env_info(known.model_copy(update={"rescale_actions": False})).action_bounds
    except AwacError:
        return None
