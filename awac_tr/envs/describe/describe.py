"""What there is to know of an environment, ours or anybody's, read from one that is made for the purpose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import gymnasium

from awac_tr.envs import ENV_IDS
from awac_tr.envs.checked_env import CheckedEnv
from awac_tr.envs.describe.catalogue import Uses, uses_of
from awac_tr.envs.describe.space_description import Clock, SpaceDescription, clock_of, space_of, versions_of
from awac_tr.envs.describe.text import NEVER, documented, own_words, settings_of
from awac_tr.envs.env_info import EnvInfo, env_info
from awac_tr.envs.make import find_spec, made_ready, make_bare
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

__all__ = ["EnvDescription", "Goal", "describe"]

_SUCCESS: Final = ("success", "is_success")


@dataclass(frozen=True)
class Goal:
    """The goals of a goal environment.

    Attributes:
        size: g, numbers of a goal, which are the last entries of an observation.
        rewards: rewards of other goals can be computed, so transitions can be relabelled.
        fresh: the environment draws goals by itself, without a reset.
    """

    size: int
    rewards: bool
    fresh: bool


@dataclass(frozen=True)
class EnvDescription:
    """An environment as a user meets it. Words are empty, and numbers None, where nobody says.

    Attributes:
        env: what was described.
        id: registered id, without a module.
        task: what is to be done.
        observation: what policies see; where no vector can be made of it, as the environment gives it.
        action: the same of actions.
        horizon: steps before an episode is cut.
        clock: simulator time; None where the environment does not simulate with MuJoCo.
        reward: what a step is worth.
        reward_range: smallest and largest reward of a step; None where nobody says.
        settings: weights and ranges that the environment keeps under such names.
        success: what counts as success; empty where the environment does not know success.
        goal_steps: ``success_steps`` calls an episode solved with more steps of success than this.
        terminates: False: only the horizon ends an episode; True: it can end by itself.
        end: when it ends by itself.
        goal: of goal environments.
        info: keys of what a step tells besides.
        versions: packages that its trajectories depend on, with their versions.
        uses: recipes and dataset cards for it.
        python: how to make it: awac-tr's way, where it takes it, and Gymnasium's, where that makes the same.
        trainable: awac-tr can train a policy for it.
        problem: why it cannot, or what went wrong when it was reset and stepped; empty where nothing did.
    """

    env: EnvSection
    id: str
    task: str
    observation: SpaceDescription
    action: SpaceDescription
    horizon: int | None
    clock: Clock | None
    reward: str
    reward_range: tuple[float, float] | None
    settings: dict[str, Any]
    success: str
    goal_steps: int | None
    terminates: bool | None
    end: str
    goal: Goal | None
    info: tuple[str, ...]
    versions: dict[str, str]
    uses: Uses
    python: tuple[str, ...]
    trainable: bool
    problem: str = ""


def describe(env: str | EnvSection) -> EnvDescription:
    """Make an environment, look at it, take one step, close it.

    One that awac-tr cannot train in (discrete actions, pictures) is described all the same, with the reason.

    Args:
        env: a Gymnasium id (``module:id`` imports the module first), or the whole description.

    Raises:
        EnvError: unknown id, or it cannot be made with these arguments.

    >>> pen = describe("pen-binary-v0")
    >>> pen.observation.size, pen.observation.parts[4].name, pen.clock.frequency, pen.uses.recipes
    (45, 'target direction', 100.0, ('pen', 'pen-authors'))
    """
    section = EnvSection.of(env)
    bare = make_bare(section)
    try:
        try:
            return _described(section, bare, made_ready(bare, section))
        except EnvError as error:
            return _described(section, bare, None, problem=str(error))
    finally:
        bare.close()


def _described(
    section: EnvSection, bare: gymnasium.Env[Any, Any], ready: CheckedEnv | None, problem: str = ""
) -> EnvDescription:
    """Of an environment that is made; ``ready`` is None where no vectors can be made of it."""
    env_id, seen = find_spec(section.id).id, ready or bare
    facts = env_info(section) if ready is not None else None
    words = own_words(env_id, section.kwargs) or documented(type(bare.unwrapped).__doc__)
    info, trouble = _tried(ready) if ready is not None else ((), "")
    return EnvDescription(
        env=section,
        id=env_id,
        task=words.task,
        observation=space_of(seen, () if section.wrappers else words.parts),
        action=space_of(seen, of="action"),
        horizon=section.horizon or (bare.spec.max_episode_steps if bare.spec else None),
        clock=clock_of(bare.unwrapped),
        reward=f"by {section.reward}, in place of the environment's own" if section.reward else words.reward,
        reward_range=section.reward_range or _range(facts),
        settings=settings_of(bare.unwrapped),
        success=words.success or next((f'info["{key}"]' for key in _SUCCESS if key in info), ""),
        goal_steps=facts.goal_steps if facts else None,
        terminates=facts.terminates if facts else None,
        end=NEVER if facts and facts.terminates is False else words.end,
        goal=_goal(ready),
        info=info,
        versions=versions_of(bare.unwrapped),
        uses=uses_of(env_id),
        python=_python(section, env_id, trainable=ready is not None),
        trainable=ready is not None,
        problem=problem or trouble,
    )


def _range(facts: EnvInfo | None) -> tuple[float, float] | None:
    return facts.reward_range if facts and all(map(math.isfinite, facts.reward_range)) else None


def _tried(env: CheckedEnv) -> tuple[tuple[str, ...], str]:
    """Reset and step once: the keys of what a step tells, and what went wrong."""
    env.action_space.seed(0)
    try:
        env.reset(seed=0)
        *_, info = env.step(env.action_space.sample())
    except EnvError as error:
        return (), str(error)
    return tuple(sorted(info)), ""


def _goal(env: CheckedEnv | None) -> Goal | None:
    if env is None or not env.goal_size:
        return None
    return Goal(env.goal_size, env.has_wrapper_attr("compute_reward"), env.has_wrapper_attr("sample_goals"))


def _python(section: EnvSection, env_id: str, *, trainable: bool) -> tuple[str, ...]:
    lines = []
    if trainable and section == EnvSection(id=section.id):
        lines.append(f"awac_tr.make_env({section.id!r})")
    elif trainable:
        said = section.model_dump(exclude_defaults=True)
        lines.append(f"awac_tr.make_env(EnvSection({', '.join(f'{name}={value!r}' for name, value in said.items())}))")
    if not section.options:
        horizon = {} if section.horizon is None else {"max_episode_steps": section.horizon}
        given = [f"{name}={value!r}" for name, value in (section.kwargs | horizon).items()]
        name = f"awac_tr:{env_id}" if env_id in ENV_IDS else section.id
        lines.append(f"gymnasium.make({', '.join([repr(name), *given])})")
    return tuple(lines)
