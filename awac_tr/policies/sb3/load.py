"""A Stable-Baselines3 file as a controller, the safe way: plain JSON and plain tensors, without Stable-Baselines3."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import CheckpointError
from awac_tr.policies.experts import ExpertController
from awac_tr.policies.sb3.actors import CRITICS, actor_arrays
from awac_tr.policies.sb3.archive import read_data, read_tensors, refusal, refuse
from awac_tr.policies.sb3.settings import Settings, read_settings

if TYPE_CHECKING:
    from awac_tr.envs.facts import EnvFacts

__all__ = ["load_sb3"]

Array = NDArray[np.float32]

_log = logging.getLogger(__name__)

_SAME: Final = 1e-4
"""Relative difference up to which bounds are the same: the file tells them in eight decimal digits."""


def load_sb3(
    path: str | Path, mode: Literal["mean", "sample"] = "mean", *, env: EnvFacts | None = None
) -> ExpertController:
    """Read the actor of SAC, TQC, TD3, DDPG, PPO, A2C or TRPO, with an MLP policy, from the file that SB3 saved.

    Nothing of the file is run, and Stable-Baselines3 is not needed.

    Args:
        path: the ``.zip``.
        mode: ``mean``: SB3's ``predict(deterministic=True)``; ``sample``: with the noise it explored with.
        env: the task, which also gives the range that squashed actions are scaled to; None: the file's own.

    Raises:
        CheckpointError: the file cannot be read, belongs to another task, or does not say all that acting needs
            without running code of it.
    """
    path = Path(path)
    settings = read_settings(path, read_data(path))
    arrays = actor_arrays(path, read_tensors(path, CRITICS), settings)
    sizes = _sizes(arrays)
    if env is not None and sizes != (env.observation_size, env.action_size):
        raise CheckpointError(
            f"{path} takes {sizes[0]} observations and gives {sizes[1]} actions; "
            f"{env.id} has {env.observation_size} and {env.action_size}",
            "it belongs to another task: name its environment with --env.",
        )
    arrays["act_low"], arrays["act_high"] = _bounds(path, settings, env, str(arrays["final"]), sizes[1])
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
    return controller


def _sizes(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """Entries of an observation and of an action, by the first and the last layer."""
    last = max(int(name[1:]) for name in arrays if name[0] == "b" and name[1:].isdigit())
    return arrays["W0"].shape[1], len(arrays[f"b{last}"])


def _bounds(path: Path, settings: Settings, env: EnvFacts | None, final: str, size: int) -> tuple[Array, Array]:
    """The range of the actions: the environment's, or else the file's."""
    own = settings.bounds
    if own is not None and (len(own[0]) != size or len(own[1]) != size):
        own = None
    if env is None or env.action_bounds is None:
        if own is None:
            refuse(path, "the range of its actions cannot be read", "name the environment (env=, --env): it has one.")
        return own
    low, high = (np.array(bound, np.float32) for bound in env.action_bounds)
    if own is not None and not (np.allclose(own[0], low, rtol=_SAME) and np.allclose(own[1], high, rtol=_SAME)):
        said = f"it was trained with actions from {_shown(own[0])} to {_shown(own[1])}, {env.id} has "
        said += f"{_shown(low)} to {_shown(high)}"
        if final == "bounds":
            refuse(path, said, "its actions are in units of their own: give the environment it was trained in.")
        _log.warning("%s: %s; its actions are scaled to those.", path, said)
    return low, high


def _shown(bound: Array) -> str:
    return f"{bound[0]:g}" if (bound == bound[0]).all() else "[" + " ".join(f"{x:g}" for x in bound[:4]) + " ...]"
