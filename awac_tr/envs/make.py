"""Making environments, for Gymnasium and for TorchRL, with one message for everything that can be wrong with one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import DtypeObservation

from awac_tr.envs.facts import find_spec
from awac_tr.errors import EnvError

if TYPE_CHECKING:
    from torchrl.envs import EnvBase

__all__ = ["horizon_of", "make_env", "make_torchrl_env"]

_log = logging.getLogger(__name__)


def make_env(
    env_id: str,
    *,
    kwargs: Mapping[str, Any] | None = None,
    horizon: int | None = None,
    render_mode: str | None = None,
) -> gymnasium.Env[Any, Any]:
    """Make a Gymnasium environment with vector float32 observations and continuous vector actions.

    Args:
        env_id: registered id, such as ``door-binary-v0`` or ``HalfCheetah-v5``; ``module:id`` imports the module first.
        kwargs: keyword arguments of the environment.
        horizon: steps before an episode is cut; None: as registered.
        render_mode: ``"rgb_array"``, or None.

    Raises:
        EnvError: unknown id, arguments the environment does not take, spaces of another kind, or no horizon anywhere.

    >>> env = make_env("door-binary-v0")
    >>> env.reset(seed=0)[0].dtype, env.action_space.shape
    (dtype('float32'), (28,))
    """
    spec = find_spec(env_id)
    try:
        env = gymnasium.make(
            spec, max_episode_steps=horizon, render_mode=render_mode, disable_env_checker=True, **(kwargs or {})
        )
    except (TypeError, ValueError, gymnasium.error.Error, ImportError) as error:
        raise EnvError(f"{env_id} cannot be made with {dict(kwargs or {})}: {error}") from error
    try:
        _check_spaces(env, env_id)
        horizon_of(env)
    except EnvError:
        env.close()
        raise
    return env if env.observation_space.dtype == np.float32 else DtypeObservation(env, np.float32)


def horizon_of(env: gymnasium.Env[Any, Any]) -> int:
    """Steps before an episode of this environment is cut.

    Raises:
        EnvError: it has none, so an episode might never end.
    """
    steps = env.spec.max_episode_steps if env.spec else None
    if not steps:
        name = env.spec.id if env.spec else str(env)
        raise EnvError(f"{name} has no horizon: an episode might never end", "Give one (recipe key env.horizon).")
    return steps


def _check_spaces(env: gymnasium.Env[Any, Any], env_id: str) -> None:
    for what, space in (("actions", env.action_space), ("observations", env.observation_space)):
        vector = isinstance(space, spaces.Box) and len(space.shape) == 1 and space.shape[0] > 0
        if not vector or not np.issubdtype(space.dtype or np.int64, np.floating):
            raise EnvError(f"the {what} of {env_id} are {space}", f"AWAC here needs {what} that are vectors of floats.")


def make_torchrl_env(
    env_id: str,
    *,
    kwargs: Mapping[str, Any] | None = None,
    horizon: int | None = None,
    render_mode: str | None = None,
) -> EnvBase:
    """The same environment for TorchRL collectors: a ``GymWrapper`` on the CPU with the keys of :mod:`awac_tr.keys`.

    Where the environment reports success it stands under ``("next", "success")``, bool [1]. The environment clips the
    actions it executes; the ``action`` in the TensorDict is what the policy gave.

    Raises:
        EnvError: as :func:`make_env`.
    """
    from torchrl.envs import GymWrapper

    env = make_env(env_id, kwargs=kwargs, horizon=horizon, render_mode=render_mode)
    return GymWrapper(env, device="cpu")
