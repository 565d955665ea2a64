"""Policies as controllers: numpy in, numpy out, one observation at a time, seeded for each episode.

A controller has ``reset(seed)`` and ``act(observation)``. All of them can be pickled, so that worker processes get a
copy, and none touches torch's global random stream.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import CheckpointError
from awac_tr.policies.acting import RowPolicy
from awac_tr.policies.checkpoint import load_policy
from awac_tr.policies.experts import ExpertController, load_expert
from awac_tr.policies.noise import OUController, RandomController, action_generator
from awac_tr.policies.sb3.load import load_sb3
from awac_tr.policies.sb3.trusted import TrustedController, load_trusted

if TYPE_CHECKING:
    from tensordict.nn import ProbabilisticTensorDictSequential

    from awac_tr.envs.facts import EnvFacts

__all__ = [
    "ExpertController",
    "NetworkController",
    "NoisyController",
    "OUController",
    "RandomController",
    "TrustedController",
    "load_controller",
    "names_its_env",
]

Array = NDArray[np.float32]
Mode = Literal["mean", "sample"]

_FOREIGN: Final = (".npz", ".zip")
_NOISE_STREAM: Final = 0x4015E


class _Acting(Protocol):
    def reset(self, seed: int) -> None: ...

    def act(self, observation: Array) -> Array: ...


class NetworkController:
    """Acts by a policy of ours, at little more than the cost of its matrix products.

    The noise is numpy's. A module is used as it is, not copied: parameters that change are seen from the next episode
    on. Pickled, it is a copy, and holds no modules.

    Args:
        policy: a module as ``build_policy`` makes it, on any device, or its weights as they stood.
        mode: ``mean``: the distribution's deterministic action; ``sample``: ``loc + scale * N(0, 1)``, squashed where
            the distribution squashes.
    """

    def __init__(self, policy: ProbabilisticTensorDictSequential | RowPolicy, mode: Mode = "mean") -> None:
        self.mode = mode
        self._policy = policy
        self.reset(0)

    def __reduce__(self) -> tuple[type[NetworkController], tuple[RowPolicy, Mode]]:
        return NetworkController, (self._read(), self.mode)

    def reset(self, seed: int) -> None:
        """Start an episode: the same seed gives the same noise."""
        self._generator = action_generator(seed)
        self._rows = self._read()

    def act(self, observation: Array) -> Array:
        """The action for one observation [observation_size] float32; [action_size] float32, not clipped."""
        if self.mode == "mean":
            return self._rows.act(observation)
        return self._rows.act(observation, self._generator.standard_normal(self._rows.action_size, dtype=np.float32))

    def _read(self) -> RowPolicy:
        return self._policy if isinstance(self._policy, RowPolicy) else RowPolicy.of(self._policy)


class NoisyController:
    """Another controller with Gaussian noise on its actions, as in DART (Laskey et al., 2017).

    Args:
        controller: the one that decides.
        sigma: deviation of the noise, in the action's units.
    """

    def __init__(self, controller: _Acting, sigma: float) -> None:
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


def names_its_env(path: Path) -> bool:
    """Whether a policy file says which environment it is for: checkpoints of ours do, files of others do not."""
    return path.suffix not in _FOREIGN


def load_controller(
    path: str | Path, mode: Mode = "mean", *, env: EnvFacts | None = None, trust: bool = False
) -> NetworkController | ExpertController | TrustedController:
    """A controller from a policy file: a checkpoint of ours, an expert's ``.npz``, or an SB3 file, ``.zip``.

    Args:
        path: the file.
        mode: ``mean`` or ``sample``.
        env: refuse a policy that was not made for this task; squashed actions of SB3 files are scaled to its range.
        trust: let Stable-Baselines3 itself load its file, which runs code that stands in it. False: nothing in any
            file is ever run, see docs/policies.md. Files of other kinds are read alike either way.

    Raises:
        CheckpointError: the file cannot be used, or belongs to another task.
    """
    path = Path(path)
    if path.suffix == ".zip":
        return load_trusted(path, mode, env=env) if trust else load_sb3(path, mode, env=env)
    if path.suffix == ".npz":
        expert = load_expert(path, mode)
        if env is not None:
            _require_sizes(path, expert, env)
        return expert
    policy = load_policy(path)
    if env is not None:
        policy.require(env.id, env.observation_size, env.action_size)
    return NetworkController(policy.module, mode)


def _require_sizes(path: Path, expert: ExpertController, env: EnvFacts) -> None:
    """Arrays carry no environment's name, so sizes are compared; Ant's experts see fewer entries than it has."""
    if expert.action_size != env.action_size or expert.observation_size > env.observation_size:
        raise CheckpointError(
            f"{path} takes {expert.observation_size} observations and gives {expert.action_size} actions; "
            f"{env.id} has {env.observation_size} and {env.action_size}",
            "it belongs to another task: name its environment with --env.",
        )
