"""Policies as controllers: numpy in, numpy out, one observation at a time, seeded for each episode.

A controller has ``reset(seed)`` and ``act(observation)``. All of them can be pickled, so that worker processes get a
copy, and none touches torch's global random stream.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from awac_tr.errors import CheckpointError
from awac_tr.keys import OBSERVATION
from awac_tr.policies.checkpoint import load_policy
from awac_tr.policies.experts import ExpertController, load_expert
from awac_tr.policies.noise import OUController, RandomController, action_generator

if TYPE_CHECKING:
    from tensordict.nn import ProbabilisticTensorDictSequential

    from awac_tr.envs.facts import EnvFacts

__all__ = [
    "ExpertController",
    "NetworkController",
    "NoisyController",
    "OUController",
    "RandomController",
    "load_controller",
]

Array = NDArray[np.float32]
Mode = Literal["mean", "sample"]

_NOISE_STREAM: Final = 0x4015E


class _Acting(Protocol):
    def reset(self, seed: int) -> None: ...

    def act(self, observation: Array) -> Array: ...


class NetworkController:
    """Acts by a policy module of ours, at little more than the cost of the bare network.

    The TensorDict layer is left out: the modules are called one after the other on plain tensors, and the noise is
    numpy's. The module is used as it is, not copied: parameters that change later are seen.

    Args:
        module: keys ``observation`` -> ``loc``, ``scale`` -> ``action``, as ``build_policy`` makes it; on the CPU.
        mode: ``mean``: the distribution's deterministic action; ``sample``: ``loc + scale * N(0, 1)``, squashed where
            the distribution squashes.
    """

    def __init__(self, module: ProbabilisticTensorDictSequential, mode: Mode = "mean") -> None:
        self.module = module
        self.mode = mode
        parts = list(module.module)
        self._steps = [(part.module, list(part.in_keys), list(part.out_keys)) for part in parts[:-1]]
        self._squash = _squash_range(parts[-1])
        self._generator = action_generator(0)

    def reset(self, seed: int) -> None:
        """Start an episode: the same seed gives the same noise."""
        self._generator = action_generator(seed)

    @torch.inference_mode()
    def act(self, observation: Array) -> Array:
        """The action for one observation [observation_size] float32; [action_size] float32, not clipped."""
        loc, scale = self.parameters_of(torch.from_numpy(observation)[None])
        action: Array = loc.numpy()[0]
        if self.mode == "sample":
            action = action + scale.numpy()[0] * self._generator.standard_normal(len(action), dtype=np.float32)
        if self._squash is not None:
            middle, half = self._squash
            action = middle + half * np.tanh(action)
        return action

    def parameters_of(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """``loc`` and ``scale``, both [B, action_size], for observations [B, observation_size]."""
        values: dict[Any, Tensor] = {OBSERVATION: observation}
        for module, in_keys, out_keys in self._steps:
            out = module(*[values[key] for key in in_keys])
            values.update(zip(out_keys, out if isinstance(out, tuple) else (out,), strict=True))
        return values["loc"], values["scale"]


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


def load_controller(
    path: str | Path, mode: Mode = "mean", *, env: EnvFacts | None = None
) -> NetworkController | ExpertController:
    """A controller from a policy file: an expert's ``.npz``, or a checkpoint of ours.

    Args:
        path: the file.
        mode: ``mean`` or ``sample``.
        env: refuse a policy that was not made for this task.

    Raises:
        CheckpointError: the file cannot be used, or belongs to another task.
    """
    path = Path(path)
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


def _squash_range(probabilistic: Any) -> tuple[Array, Array] | None:
    """Middle and half of the range of a tanh-squashed distribution; None where the density is not squashed."""
    from torchrl.modules import TanhNormal

    if not issubclass(probabilistic.distribution_class, TanhNormal):
        return None
    kwargs = probabilistic.distribution_kwargs
    low = torch.as_tensor(kwargs.get("low", -1.0), dtype=torch.float32).cpu().numpy()
    high = torch.as_tensor(kwargs.get("high", 1.0), dtype=torch.float32).cpu().numpy()
    return (high + low) / 2, (high - low) / 2
