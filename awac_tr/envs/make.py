"""Making environments, for Gymnasium and for TorchRL, with one message for everything that can be wrong with one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from awac_tr.envs import ENV_IDS
from awac_tr.envs.checked_env import CheckedEnv, name_of
from awac_tr.envs.describe.registered import registered
from awac_tr.envs.gl import import_mujoco
from awac_tr.envs.imports import imported_module
from awac_tr.envs.wrappers import add_wrappers
from awac_tr.errors import AwacError, EnvError
from awac_tr.recipes.schema import EnvSection

if TYPE_CHECKING:
    from torchrl.envs import EnvBase

__all__ = [
    "find_spec",
    "horizon_of",
    "made_ready",
    "make_bare",
    "make_env",
    "make_torchrl_env",
    "require_env",
    "tells_success",
]


def make_env(env: str | EnvSection, *, render_mode: str | None = None) -> CheckedEnv:
    """Make a Gymnasium environment with vector observations, given as float32, and continuous vector actions.

    Dictionaries of observations are flattened, see :mod:`awac_tr.envs.wrappers`. What comes back raises
    :class:`EnvError`, naming environment, seed and step, where the environment itself raises or returns NaN or
    infinity.

    Args:
        env: a registered id, such as ``door-binary-v0`` or ``HalfCheetah-v5`` (``module:id`` imports the module first),
            or the whole description.
        render_mode: ``"rgb_array"``, or None.

    Raises:
        EnvError: unknown id, arguments the environment does not take, spaces of another kind, or no horizon anywhere.

    >>> env = make_env("door-binary-v0")
    >>> env.reset(seed=0)[0].dtype, env.action_space.shape
    (dtype('float32'), (28,))
    """
    section = EnvSection.of(env)
    bare = make_bare(section, render_mode=render_mode)
    try:
        return made_ready(bare, section)
    except EnvError:
        bare.close()
        raise


def make_bare(env: str | EnvSection, *, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """The environment as ``gymnasium.make`` gives it, with any spaces: arguments and horizon of the description only.

    Raises:
        EnvError: unknown id, or arguments the environment does not take.
    """
    section = EnvSection.of(env)
    spec = find_spec(section.id)
    options = section.kwargs | ({} if render_mode is None else {"render_mode": render_mode})
    import_mujoco()
    try:
        return gymnasium.make(spec.id, max_episode_steps=section.horizon, disable_env_checker=True, **options)
    except AwacError:
        raise  # it says itself what is missing
    # Environments of others raise what they like on arguments they do not like.
    except Exception as error:
        raise EnvError(f"{section.id} cannot be made with {options}: {type(error).__name__}: {error}") from error


def made_ready(bare: gymnasium.Env[Any, Any], section: EnvSection) -> CheckedEnv:
    """What :func:`make_env` makes of a bare environment; after an error the bare one is still open.

    Raises:
        EnvError: spaces that no vector of real numbers stands for, options that do not fit, or no horizon anywhere.
    """
    guarded = CheckedEnv(add_wrappers(bare, section), section.reward_range)
    horizon_of(bare)
    return guarded


def require_env(section: EnvSection) -> None:
    """Make an environment of ours once: what it needs may be missing, which its facts do not tell; those of others do.

    Raises:
        EnvError: as :func:`make_env`.
    """
    if find_spec(section.id).id in ENV_IDS:
        make_env(section).close()


def find_spec(env_id: str) -> EnvSpec:
    """The registered specification of an id; ``module:id`` imports the module first.

    Raises:
        EnvError: the id is unknown (with the closest known ones), or the module cannot be imported.
    """
    module, _, name = env_id.rpartition(":")
    try:
        if EnvSection(id=env_id).code and ":" not in module:
            imported_module(module)
        return _spec(name)
    except (gymnasium.error.Error, ValueError) as error:
        raise EnvError(f"unknown environment {env_id!r}: {error}", _closest(env_id)) from error


def _spec(name: str) -> EnvSpec:
    try:
        return gymnasium.spec(name)
    except gymnasium.error.NameNotFound:
        registered()  # those of gymnasium-robotics are known only from then on
        return gymnasium.spec(name)


def _closest(env_id: str) -> str:
    name = env_id.rpartition(":")[2]
    known = difflib.get_close_matches(name, list(registered()), n=3, cutoff=0.6)
    if known:
        return f"Did you mean {' or '.join(known)}?"
    return f"Ours are {', '.join(ENV_IDS)}; an id of another package is written package:id."


def horizon_of(env: gymnasium.Env[Any, Any]) -> int:
    """Steps before an episode of this environment is cut.

    Raises:
        EnvError: it has none, so an episode might never end.
    """
    steps = env.spec.max_episode_steps if env.spec else None
    if not steps:
        raise EnvError(
            f"{name_of(env)} has no horizon: an episode might never end", "Give one (recipe key env.horizon)."
        )
    return steps


def tells_success(section: EnvSection) -> bool:
    """Whether an environment says in ``info`` if the goal is reached: ours do, of others one is stepped to find out.

    Raises:
        EnvError: as :func:`make_env`; or of the reset or the step.
    """
    if find_spec(section.id).id in ENV_IDS:
        return True
    env = make_env(section)
    try:
        env.reset(seed=0)
        env.action_space.seed(0)
        return "success" in env.step(env.action_space.sample())[4]
    finally:
        env.close()


def make_torchrl_env(env: str | EnvSection, *, render_mode: str | None = None, success: bool | None = None) -> EnvBase:
    """The same environment for TorchRL's collectors: a ``GymWrapper`` with the keys of :mod:`awac_tr.keys`.

    Environments that tell of success also give ``("next", "success")``, bool [1], and goal environments
    ``achieved_goal``, float32 [g]; TorchRL counts these among the observations, so a policy should name its
    ``in_keys``. Our own clip the actions they execute; ``action`` in the TensorDict stays what the policy gave.
    ``set_seed`` seeds the sequence of episodes that follows; one episode of a certain seed starts with
    ``reset(seed=...)``.

    Args:
        env: registered id, or the whole description.
        render_mode: ``"rgb_array"``, or None.
        success: the environment tells of success; None: ours do, of others one is made and stepped once to find out.

    Raises:
        EnvError: as :func:`make_env`.
    """
    from torchrl.envs import GymWrapper

    from awac_tr.envs.success import InfoReader

    section = EnvSection.of(env)
    if success is None:
        success = tells_success(section)
    made = make_env(section, render_mode=render_mode)
    wrapped = GymWrapper(made)
    if success or made.goal_size:
        wrapped = wrapped.set_info_dict_reader(InfoReader(success=success, goal_size=made.goal_size))
    return wrapped
