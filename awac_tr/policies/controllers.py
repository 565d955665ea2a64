"""Policies as controllers: numpy in, numpy out, one observation at a time, seeded for each episode.

A controller has ``reset(seed)`` and ``act(observation)``. All of them can be pickled, so that worker processes get a
copy, and none touches torch's global random stream.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.action_units import ActionUnits, Conversion, conversion
from awac_tr.envs.episode import Controller
from awac_tr.errors import CheckpointError
from awac_tr.policies.actor import Actor, actor_of
from awac_tr.policies.checkpoint import load_policy
from awac_tr.policies.experts import ExpertController, load_expert
from awac_tr.policies.noise import OUController, RandomController, action_generator
from awac_tr.policies.sb3.load import load_sb3, require_sizes
from awac_tr.policies.sb3.trusted import TrustedController, load_trusted
from awac_tr.recipes.environment import differing_keys

if TYPE_CHECKING:
    from tensordict.nn import TensorDictModuleBase

    from awac_tr.envs.env_info import EnvInfo

__all__ = [
    "ConvertedController",
    "ExpertController",
    "NetworkController",
    "NoisyController",
    "OUController",
    "RandomController",
    "TrustedController",
    "acting_conversion",
    "controller_factory",
    "load_controller",
    "names_its_env",
]

Array = NDArray[np.float32]
Mode = Literal["mean", "sample"]

_log = logging.getLogger(__name__)

_FOREIGN: Final = (".npz", ".zip")
_NOISE_STREAM: Final = 0x4015E


class NetworkController:
    """Acts by a policy; by one of ours at little more than the cost of its matrix products.

    The noise is numpy's. A module is used as it is, not copied: parameters that change are seen from the next episode
    on. Pickled, it is a copy, and holds no modules.

    Args:
        policy: what :func:`awac_tr.policies.actor.actor_of` takes.
        mode: ``mean``: the distribution's deterministic action; ``sample``: one drawn from it. What takes the best of
            several samples draws them either way.
    """

    def __init__(self, policy: TensorDictModuleBase | Actor, mode: Mode = "mean") -> None:
        self.mode = mode
        self._policy = policy
        self.reset(0)

    def __reduce__(self) -> tuple[type[NetworkController], tuple[Actor, Mode]]:
        return NetworkController, (actor_of(self._policy), self.mode)

    def reset(self, seed: int) -> None:
        """Start an episode: the same seed gives the same noise."""
        self._generator = action_generator(seed)
        self._actor = actor_of(self._policy)

    def act(self, observation: Array) -> Array:
        """Actions [action_size] or [B, action_size] float32, not clipped, as of :meth:`Actor.act`."""
        if self.mode == "mean" and not getattr(self._actor, "always_random", False):
            return self._actor.act(observation)
        shape = (*np.shape(observation)[:-1], self._actor.noise_size)
        return self._actor.act(observation, self._generator.standard_normal(shape, dtype=np.float32))


class NoisyController:
    """Another controller with Gaussian noise, of deviation ``sigma``, on its actions: DART (Laskey et al., 2017)."""

    def __init__(self, controller: Controller, sigma: float) -> None:
        self.controller = controller
        self._sigma = np.float32(sigma)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start an episode; the noise has a stream of its own beside the controller's."""
        self.controller.reset(seed)
        self._generator = np.random.default_rng([_NOISE_STREAM, seed])

    def act(self, observation: Array) -> Array:
        """The controller's action plus noise, [action_size] float32, not clipped."""
        action = self.controller.act(observation)
        return action + self._sigma * self._generator.standard_normal(len(action), dtype=np.float32)


class ConvertedController:
    """Another controller whose actions are converted into other units."""

    def __init__(self, controller: Controller, conversion: Conversion) -> None:
        self.controller, self.conversion = controller, conversion
        self.reset = controller.reset

    def act(self, observation: Array) -> Array:
        """The controller's action in the other units, [action_size] float32, not clipped."""
        return self.conversion(self.controller.act(observation))


def names_its_env(path: Path) -> bool:
    """Whether a policy file says which environment it is for: checkpoints of ours do, files of others do not."""
    return path.suffix not in _FOREIGN


def load_controller(
    path: str | Path,
    mode: Mode = "mean",
    *,
    env: EnvInfo | None = None,
    trust: bool = False,
    allow_bounds_mismatch: bool = False,
) -> Controller:
    """A controller from a policy file: a checkpoint of ours, an expert's ``.npz``, or an SB3 file, ``.zip``.

    Args:
        path: the file.
        mode: ``mean`` or ``sample``.
        env: the task it acts in, whose units its actions are converted to. Refuse a policy that was not made for it.
        trust: let Stable-Baselines3 itself load its file, which runs code that stands in it. False: nothing in any
            file is ever run, see docs/policies.md. Files of other kinds are read alike either way.
        allow_bounds_mismatch: act in ``env`` although it bounds actions otherwise than where the policy was trained.

    Raises:
        CheckpointError: the file cannot be used, belongs to another task, or to one with other bounds of its actions.
    """
    path = Path(path)
    controller: Controller
    if path.suffix == ".zip":
        controller, units = (load_trusted if trust else load_sb3)(path, mode, env=env)
    elif path.suffix == ".npz":
        controller = load_expert(path, mode)
        if env is not None:
            # Ant's experts see fewer entries than it has
            seen, there = controller.observation_size, env.observation_size
            require_sizes(path, (seen, controller.action_size), env, more=seen < there)
        units = ActionUnits(controller.action_bounds)
    else:
        policy = load_policy(path)
        controller = NetworkController(policy.acts, mode)
        if env is None:
            return controller
        policy.require(env.id, env.observation_size, env.action_size)
        units = policy.units(env)
    converted = None if env is None else acting_conversion(path, units, env, allow_mismatch=allow_bounds_mismatch)
    return controller if converted is None else ConvertedController(controller, converted)


def controller_factory(
    path: Path, mode: Mode, env: EnvInfo, *, trust: bool = False, allow_bounds_mismatch: bool = False
) -> Callable[[], Controller]:
    """Makes the controllers of worker processes. The file is looked at here and now, and what differs is said.

    Args and errors are those of :func:`load_controller`.
    """
    how: dict[str, Any] = {"env": env, "trust": trust, "allow_bounds_mismatch": allow_bounds_mismatch}
    controller = load_controller(path, mode, **how)
    found = load_policy(path).env if names_its_env(path) else env.env
    for text in differing_keys(found, env.env).values():
        _log.warning("%s was trained with %s as where it acts now", path, text)
    if isinstance(controller, ConvertedController):
        _log.info("actions of %s are converted: %s", path, controller.conversion)
    return partial(load_controller, path.resolve(), mode, **how)


def acting_conversion(path: Path, units: ActionUnits, env: EnvInfo, *, allow_mismatch: bool) -> Conversion | None:
    """How a policy's actions become those of the environment it acts in; None: they are the same.

    With ``allow_mismatch`` the raw bounds may differ: raw actions stay what they are, and the environment clips them.

    Raises:
        CheckpointError: the bounds differ, or it is not known whether they do; or they agree, and a difference was
            said to be allowed.
    """
    if env.units is None:
        return None
    same = units.same_raw(env.units)
    if same and allow_mismatch:
        raise CheckpointError(f"{path} has the action bounds of {env.id}: there is no mismatch to allow")
    if not (same or allow_mismatch):
        raise CheckpointError(
            f"{path} gives actions of {units}, {env.id} takes {env.units}",
            "act in the environment it was trained in (--env, --env-set), or with --allow-bounds-mismatch.",
        )
    try:
        return conversion(units, env.units)
    except ValueError:
        return None
