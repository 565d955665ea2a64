"""Policies that take the best of several actions: as actors, and as a part of a checkpoint."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from awac_tr.models.best_of_samples import BestOfCVAE, BestOfPolicy, BestOfSamples
from awac_tr.models.build import build_qvalues
from awac_tr.models.cvae import build_cvae, build_perturbation
from awac_tr.models.networks import MLP
from awac_tr.policies.acting import finite_rows
from awac_tr.recipes.base import HiddenSizes, PositiveCount, Section
from awac_tr.recipes.schema import QValueSection

if TYPE_CHECKING:
    from tensordict.nn import ProbabilisticTensorDictSequential

__all__ = ["ActingSection", "BestOfSamplesActor", "acting_entry", "build_acting"]

Array = NDArray[np.float32]

_FIXED_STREAM: Final = 0xBE57
_POLICY: Final = "policy."


class BestOfSamplesActor:
    """A :class:`~awac_tr.models.best_of_samples.BestOfSamples` as an actor, as its weights stand now, in float32.

    Args:
        module: on any device; it is copied.

    Attributes:
        noise_size: normal numbers of an action, those of all its candidates.
        always_random: evaluations draw candidates as well.
    """

    always_random = True

    def __init__(self, module: BestOfSamples) -> None:
        self._module = copy.deepcopy(module).to("cpu").eval().requires_grad_(requires_grad=False)
        for part in self._module.modules():
            if isinstance(part, MLP):
                part.precision = "fp32"
        self.observation_size = len(self._module.qvalue.standardize.loc)
        self.noise_size = module.samples * module.noise_size

    def act(self, observation: ArrayLike, noise: Array | None = None) -> Array:
        """The best of its candidates, [a] or [B, a] float32, not clipped.

        Args:
            observation: [o] or [B, o], finite.
            noise: standard normal numbers, [noise_size] or [B, noise_size]; None: the same ones at every call.

        Raises:
            AwacError: observations of another shape, or with NaN or infinity.
        """
        rows = finite_rows(observation, self.observation_size)
        if noise is None:
            fixed = np.random.default_rng(_FIXED_STREAM).standard_normal(self.noise_size, dtype=np.float32)
            noise = np.broadcast_to(fixed, (*rows.shape[:-1], self.noise_size))
        drawn = torch.from_numpy(np.array(noise, np.float32))
        drawn = drawn.reshape(*drawn.shape[:-1], self._module.samples, -1)
        action: Array = self._module.best(torch.from_numpy(rows), drawn.movedim(-2, 0)).numpy()
        return action


class ActingSection(Section):
    """How a checkpoint acts that takes the best of several actions, and what its networks are made of."""

    kind: Literal["best_of_policy", "best_of_cvae"]
    samples: Annotated[int, Field(ge=1, le=10_000)]
    qvalue: QValueSection
    cvae_hidden_sizes: HiddenSizes | None = None
    perturbation_hidden_sizes: HiddenSizes | None = None
    phi: Annotated[float, Field(ge=0)] = 0.0

    def described(self, observation_size: int, action_size: PositiveCount) -> int:
        """Weights of the networks, their biases apart, at the sizes of the task."""
        both = observation_size + action_size
        layers = [(both, *self.qvalue.hidden_sizes, 1)]
        if self.kind == "best_of_cvae":
            wide = observation_size + 2 * action_size
            layers.append((both, *(self.cvae_hidden_sizes or ()), 4 * action_size))
            layers.append((wide, *(self.cvae_hidden_sizes or ()), action_size))
            layers.append((both, *(self.perturbation_hidden_sizes or ()), action_size))
        return sum(rows * columns for sizes in layers for rows, columns in pairwise(sizes))


def acting_entry(module: BestOfSamples, spec: QValueSection) -> dict[str, Any]:
    """What a checkpoint holds of it beside the policy: plain data, and copies of its tensors on the CPU.

    Args:
        module: how the learner acts.
        spec: the recipe's critics, of which it has the first.
    """
    section: dict[str, Any] = {"kind": "best_of_policy", "samples": module.samples, "qvalue": spec}
    if isinstance(module, BestOfCVAE):
        section |= {
            "kind": "best_of_cvae",
            "cvae_hidden_sizes": _sizes(module.cvae.decoder),
            "perturbation_hidden_sizes": _sizes(module.perturbation.mlp),
            "phi": module.perturbation.phi,
        }
    tensors = module.state_dict().items()
    state = {name: value.detach().to("cpu", copy=True) for name, value in tensors if not name.startswith(_POLICY)}
    return {"spec": ActingSection.model_validate(section).model_dump(mode="json"), "state": state}


def build_acting(
    entry: Mapping[str, Any],
    policy: ProbabilisticTensorDictSequential | None,
    observation_size: int,
    action_size: int,
    bounds: tuple[Array, Array],
) -> BestOfSamples:
    """What :func:`acting_entry` was made of, on the CPU.

    Args:
        entry: of a checkpoint.
        policy: the checkpoint's, whose samples are compared; None where it has none.
        observation_size: entries of an observation.
        action_size: entries of an action.
        bounds: of actions, [action_size] each.

    Raises:
        ValueError: sizes are described that the tensors cannot fill, or numbers that are not finite.
        RuntimeError: the tensors are those of other networks.
        ValidationError: (of pydantic) the description is none.
    """
    spec, state = ActingSection.model_validate_json(json.dumps(entry["spec"])), entry["state"]
    described, stored = spec.described(observation_size, action_size), sum(value.numel() for value in state.values())
    if described > stored:
        raise ValueError(f"networks of {described:,} weights are described, {stored:,} numbers are stored")
    sizes = (observation_size, action_size)
    (critic,) = build_qvalues(spec.qvalue.model_copy(update={"count": 1}), *sizes)
    made: BestOfSamples
    if spec.kind == "best_of_policy":
        if policy is None:
            raise ValueError("it acts by samples of a policy, and has none")
        made = BestOfPolicy(policy, critic.module, spec.samples)
    else:
        limits: dict[str, Any] = {"action_low": bounds[0], "action_high": bounds[1]}
        cvae = build_cvae(*sizes, spec.cvae_hidden_sizes or (), **limits)
        perturbation = build_perturbation(*sizes, spec.perturbation_hidden_sizes or (), phi=spec.phi, **limits)
        made = BestOfCVAE(cvae, perturbation, critic.module, spec.samples)
    own = {name: value for name, value in made.state_dict().items() if name.startswith(_POLICY)}
    made.load_state_dict({**state, **own})
    made.eval().requires_grad_(requires_grad=False)
    return made


def _sizes(mlp: MLP) -> tuple[int, ...]:
    return tuple(int(layer.out_features) for layer in mlp.hidden)  # type: ignore[arg-type]
