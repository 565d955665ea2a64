"""A Stable-Baselines3 file as a controller, the safe way: plain JSON and plain tensors, without Stable-Baselines3."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.action_units import ActionUnits, Bounds, same_bounds
from awac_tr.errors import CheckpointError
from awac_tr.policies.experts import ExpertController
from awac_tr.policies.sb3.actors import CRITICS, actor_arrays
from awac_tr.policies.sb3.archive import read_data, read_tensors, refusal, refuse
from awac_tr.policies.sb3.settings import read_settings

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo

__all__ = ["bounds_and_units", "load_sb3", "require_sizes"]

Array = NDArray[np.float32]

_log = logging.getLogger(__name__)


def load_sb3(
    path: str | Path, mode: Literal["mean", "sample"] = "mean", *, env: EnvInfo | None = None
) -> tuple[ExpertController, ActionUnits]:
    """Read the actor of SAC, TQC, TD3, DDPG, PPO, A2C or TRPO, with an MLP policy, from the file that SB3 saved.

    Nothing of the file is run, and Stable-Baselines3 is not needed.

    Args:
        path: the ``.zip``.
        mode: ``mean``: SB3's ``predict(deterministic=True)``; ``sample``: with the noise it explored with.
        env: the task, which also gives the range of the actions where the file does not; None: the file's own.

    Raises:
        CheckpointError: the file cannot be read, belongs to another task, or does not say all that acting needs
            without running code of it.
    """
    path = Path(path)
    settings = read_settings(path, read_data(path))
    arrays = actor_arrays(path, read_tensors(path, CRITICS), settings)
    sizes = _sizes(arrays)
    if env is not None:
        require_sizes(path, sizes, env)
    (low, high), units = bounds_and_units(path, settings.bounds, env, sizes[1])
    arrays |= {"act_low": low, "act_high": high}
    try:
        controller = ExpertController(arrays, mode)
    except (KeyError, ValueError, IndexError) as error:
        raise refusal(path, str(error)) from error
    if settings.normalised:
        _log.warning(
            "%s was trained inside a VecNormalize, whose statistics stand in another file. If observations were "
            "normalised there, the policy cannot act well without them: see docs/policies.md.",
            path,
        )
    return controller, units


def require_sizes(path: Path, sizes: tuple[int, int], env: EnvInfo, *, more: bool = False) -> None:
    """Arrays carry no environment's name, so (observation, action) sizes are compared; ``more``: actions alone.

    Raises:
        CheckpointError: they differ.
    """
    if sizes[1] != env.action_size or (sizes[0] != env.observation_size and not more):
        raise CheckpointError(
            f"{path} takes {sizes[0]} observations and gives {sizes[1]} actions; "
            f"{env.id} has {env.observation_size} and {env.action_size}",
            "it belongs to another task: name its environment with --env.",
        )


def _sizes(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """Entries of an observation and of an action, by the first and the last layer."""
    last = max(int(name[1:]) for name in arrays if name[0] == "b" and name[1:].isdigit())
    return arrays["W0"].shape[1], len(arrays[f"b{last}"])


def bounds_and_units(
    path: Path, own: Bounds | None, env: EnvInfo | None, size: int
) -> tuple[tuple[Array, Array], ActionUnits]:
    """The range of a policy's actions, and what they mean: the file's own, or the environment's where it tells none.

    Returns:
        Bounds [a] float32, and the units: scaled where it was trained, and acts, in [-1, 1] of other bounds.

    Raises:
        CheckpointError: there is neither.
    """
    if own is not None and len(np.asarray(own[0])) != size:
        own = None
    units = None if env is None else env.units
    if units is not None and units.scaled and own is not None and same_bounds(own, (-1, 1)):
        return (np.array(own[0], np.float32), np.array(own[1], np.float32)), units
    # the file tells them in eight digits
    bounds = units.raw if units is not None and units.raw and (own is None or same_bounds(own, units.raw)) else own
    if bounds is None:
        refuse(path, "the range of its actions cannot be read", "name the environment (env=, --env): it has one.")
    low, high = (np.array(bound, np.float32) for bound in bounds)
    return (low, high), ActionUnits((low, high))
