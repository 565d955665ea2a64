"""From the tensors of a Stable-Baselines3 actor to the arrays that :mod:`awac_tr.policies.experts` acts by.

Each family's tensors are known by name. Every tensor that is not a critic's must find its place: one that does not
belongs to something that would be left out of the forward pass, so the file is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from awac_tr.policies.sb3.settings import Settings, refuse_unknown

__all__ = ["CRITICS", "actor_arrays"]

Array = NDArray[np.float32]

CRITICS: Final = ("critic.", "critic_target.", "actor_target.", "mlp_extractor.value_net.", "value_net.")
"""Beginnings of the names of tensors that have no part in acting."""


def actor_arrays(path: Path, tensors: dict[str, Array], settings: Settings) -> dict[str, NDArray[Any]]:
    """The arrays of :class:`awac_tr.policies.experts.ExpertController`, without the bounds of the actions.

    Raises:
        CheckpointError: the tensors (float32, without the critics') are not those of the family's MLP policy.
    """
    actor = _Actor(path, dict(tensors))
    arrays: dict[str, NDArray[Any]] = {"activation": np.array(settings.activation)}
    if settings.family == "squashed":
        arrays |= _squashed(actor, settings)
    elif settings.family == "deterministic":
        arrays |= actor.numbered(actor.chain("actor.mu.")) | {"final": np.array("tanh")}
    else:
        arrays |= _actor_critic(actor, settings)
    actor.require_empty()
    if settings.use_sde != ("sde_log_std" in arrays):
        refuse_unknown(path, "its exploration noise is not what its use_sde says")
    return arrays


def _squashed(actor: _Actor, settings: Settings) -> dict[str, NDArray[Any]]:
    hidden = actor.chain("actor.latent_pi.")
    clipped = "actor.mu.0.weight" in actor.tensors
    mean = actor.linear("actor.mu.0" if clipped else "actor.mu")
    arrays = actor.numbered([*hidden, mean]) | {"final": np.array("tanh")}
    if clipped:
        arrays["mean_clip"] = np.array(settings.clip_mean, np.float32)
    if "actor.log_std" in actor.tensors:
        return arrays | _noise(actor, "actor.log_std", settings)
    weight, bias = actor.linear("actor.log_std")
    return arrays | {"log_std_W": weight, "log_std_b": bias}


def _actor_critic(actor: _Actor, settings: Settings) -> dict[str, NDArray[Any]]:
    # versions before 1.8 may have layers that actor and critic share
    hidden = [*actor.chain("mlp_extractor.shared_net."), *actor.chain("mlp_extractor.policy_net.")]
    # without the tanh, actions are in the environment's own units, and only cut
    final = np.array("tanh" if settings.squash_output else "bounds")
    arrays = actor.numbered([*hidden, actor.linear("action_net")]) | {"final": final}
    return arrays | _noise(actor, "log_std", settings)


def _noise(actor: _Actor, name: str, settings: Settings) -> dict[str, NDArray[Any]]:
    """One deviation an action, or gSDE's, one for each pair of a feature and an action."""
    log_std = actor.take(name)
    if log_std.ndim == 1:
        return {"log_std": log_std}
    freq = np.array(settings.sde_sample_freq)
    return {"sde_log_std": log_std, "sde_expln": np.array(settings.use_expln), "sde_sample_freq": freq}


class _Actor:
    """Tensors that are still to find their place."""

    def __init__(self, path: Path, tensors: dict[str, Array]) -> None:
        self._path, self.tensors = path, tensors

    def take(self, name: str) -> Array:
        if name not in self.tensors:
            self._refuse(f"it has no tensor {name!r}")
        return self.tensors.pop(name)

    def linear(self, name: str) -> tuple[Array, Array]:
        weight, bias = self.take(f"{name}.weight"), self.take(f"{name}.bias")
        if weight.ndim != 2 or bias.ndim != 1:  # noqa: PLR2004  (a matrix and a vector)
            self._refuse(f"{name!r} is no linear layer")
        return weight, bias

    def chain(self, prefix: str) -> list[tuple[Array, Array]]:
        """Linear layers with one activation between each: numbered 0, 2, 4, ... as torch numbers them."""
        found = {int(m[1]) for name in self.tensors if (m := re.fullmatch(re.escape(prefix) + r"(\d{1,4})\..+", name))}
        numbers = sorted(found)
        if numbers != list(range(0, 2 * len(numbers), 2)):
            self._refuse(f"{prefix!r} has more than linear layers and activations")
        return [self.linear(f"{prefix}{number}") for number in numbers]

    def numbered(self, layers: list[tuple[Array, Array]]) -> dict[str, NDArray[Any]]:
        if not layers:
            self._refuse("it has no layers that give actions")
        return {f"{kind}{i}": array for i, layer in enumerate(layers) for kind, array in zip("Wb", layer, strict=True)}

    def require_empty(self) -> None:
        if self.tensors:
            names = ", ".join(ascii(name[:60]) for name in sorted(self.tensors)[:3])
            self._refuse(f"what it does with the tensors {names} is not known")

    def _refuse(self, what: str) -> NoReturn:
        refuse_unknown(self._path, f"it has not the actor of an MLP policy: {what}")
