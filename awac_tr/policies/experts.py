"""Trained policies of others as plain arrays in ``.npz`` files: DAPG's (hand_dapg) and Stable-Baselines3's actors.

Forward pass, DAPG: ``x = (o - in_shift) / (in_scale + 1e-8)``, tanh layers,
``a = (W x + b) * out_scale + out_shift``, clipped to [-1, 1]; own noise ``exp(log_std) * N(0, 1)``.

Forward pass, SB3: the first ``obs_dim`` entries, normalised where ``obs_mean`` is present, hidden layers of
``activation``, the last layer's ``y`` cut to ``mean_clip`` where that is present, own noise (see
:mod:`awac_tr.policies.expert_noise`), and ``final``: ``tanh`` and ``clip`` (to [-1, 1]) are scaled to the range of
the actions, ``bounds`` cuts what is in the actions' own units already.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import CheckpointError
from awac_tr.policies.acting import finite_rows
from awac_tr.policies.expert_noise import expert_noise
from awac_tr.policies.noise import action_generator
from awac_tr.utils.budget import PACKED, Budget

__all__ = ["ExpertController", "load_expert"]

Array = NDArray[np.float32]

_MEMBER_PRICE: Final = 1 << 16
"""Bytes that an array counts beside its content: 50 in the file are enough for one, which takes half a millisecond."""


class ExpertController:
    """Acts as the arrays of a trained policy say.

    Args:
        arrays: the content of the ``.npz`` file.
        mode: ``mean``: the deterministic action; ``sample``: with the policy's own noise.

    Attributes:
        observation_size: entries of an observation that it looks at.
        action_size: entries of an action.
        action_bounds: lowest and highest action, [action_size] each.

    Raises:
        KeyError, ValueError: the arrays are incomplete, or their shapes do not fit each other.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], mode: Literal["mean", "sample"] = "mean") -> None:
        self._dapg = "in_shift" in arrays
        self._layers = _layers(arrays)
        self._activation = _activation("tanh" if self._dapg else str(arrays["activation"]))
        self._mode = mode
        self._read_scales(arrays)
        self._noise = expert_noise(arrays, self._layers[-1][0].shape[1], self.action_size)
        if mode == "sample" and self._noise is None:
            raise ValueError("the file holds no standard deviation, so there is nothing to sample from")
        # arrays that do not fit each other show here, not in mid-episode
        self.reset(0)
        self.act(np.zeros(self.observation_size, np.float32))
        self.reset(0)

    def _read_scales(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.action_size = len(self._layers[-1][1])
        self.observation_size = self._layers[0][0].shape[1]
        self._clip, self._mean_clip = np.float32(np.inf), np.float32(arrays.get("mean_clip", 0) or np.inf)
        self._shift: Array = np.zeros(self.observation_size, np.float32)
        self._scale: Array = np.ones(self.observation_size, np.float32)
        self._out_shift: Array = np.zeros(self.action_size, np.float32)
        self._out_scale: Array = np.ones(self.action_size, np.float32)
        if self._dapg:
            self._final = "bounds"
            self._shift, self._scale = _floats(arrays["in_shift"]), _floats(arrays["in_scale"] + 1e-8)
            self.action_bounds = (-self._out_scale, self._out_scale)
            self._out_scale, self._out_shift = _floats(arrays["out_scale"]), _floats(arrays["out_shift"])
            return
        self._final = str(arrays["final"])
        self.action_bounds = low, high = _floats(arrays["act_low"]), _floats(arrays["act_high"])
        if self._final not in ("tanh", "clip", "bounds"):
            raise ValueError(f"unknown final {self._final!r}")
        if self._final != "bounds":
            self._out_scale, self._out_shift = _floats((high - low) / 2), _floats((high + low) / 2)
            if not np.isfinite(self._out_scale).all():
                raise ValueError("actions without bounds have no range to scale to")
        if "obs_mean" in arrays:
            self._shift = _floats(arrays["obs_mean"])
            self._scale = _floats(np.sqrt(arrays["obs_var"] + arrays["obs_eps"]))
            self._clip = np.float32(arrays["obs_clip"])

    def reset(self, seed: int) -> None:
        """Start an episode: the noise of the same seed is the same."""
        if self._noise is not None:
            self._noise.reset(action_generator(seed))

    def act(self, observation: Array) -> Array:
        """Actions [action_size] or [B, action_size] float32, within the bounds.

        Args:
            observation: [o] or [B, o] float32, o no less than ``observation_size``.

        Raises:
            AwacError: observations of another shape, or with NaN or infinity.
        """
        observation = finite_rows(observation, self.observation_size, more=True)
        if observation.ndim > 1:
            return np.array([self.act(row) for row in observation], np.float32).reshape(-1, self.action_size)
        x = (observation[: self.observation_size] - self._shift) / self._scale
        x = np.clip(x, -self._clip, self._clip)
        for weight, bias in self._layers[:-1]:
            x = self._activation(weight @ x + bias)
        weight, bias = self._layers[-1]
        y = np.clip(weight @ x + bias, -self._mean_clip, self._mean_clip)
        noise = self._noise.draw(x) if self._noise is not None and self._mode == "sample" else np.float32(0)
        action: Array = self._finished(y, noise).astype(np.float32, copy=False)
        return action

    def _finished(self, y: Array, noise: Array | np.float32) -> Array:
        if self._final == "bounds":
            finished: Array = np.clip(y * self._out_scale + self._out_shift + noise, *self.action_bounds)
            return finished
        unit: Array = np.tanh(y + noise) if self._final == "tanh" else np.clip(y + noise, -1, 1)
        return unit * self._out_scale + self._out_shift


def load_expert(path: str | Path, mode: Literal["mean", "sample"] = "mean") -> ExpertController:
    """Read an expert's ``.npz`` file (arrays only; pickled objects in it are refused).

    Raises:
        CheckpointError: missing, damaged, or not of the two forms of this module.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no policy at {path}")
    arrays = _arrays(path)
    try:
        return ExpertController(arrays, mode)
    except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise CheckpointError(
            f"{path} is not a policy of DAPG or Stable-Baselines3 as arrays: {error}",
            "needed: W0, b0, W1, b1, ... and in_shift, in_scale, out_shift, out_scale (DAPG) "
            "or activation, final, act_low, act_high (SB3).",
        ) from error


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the file, after a look at what they claim to be: room is made for them before they are read."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            budget = Budget(path, PACKED, CheckpointError)
            for name in file.zip.namelist():
                budget.charge(_MEMBER_PRICE + _claimed(file.zip, name), "its arrays")
            return {name: file[name] for name in file.files}
    except CheckpointError:
        raise
    except Exception as error:  # damaged archives fail in a dozen ways, all of them the file's fault
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{path} is not a readable .npz file of plain arrays: {reason}") from error


def _claimed(archive: zipfile.ZipFile, name: str) -> int:
    """Bytes of the array a member says it holds; one along axes where it has none, since its shape sizes others."""
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):  # the others are for headers of 64 KiB and names that are not ASCII
            raise ValueError(f"{name} is an array of format {version}")
        shape, _, kind = np.lib.format.read_array_header_1_0(member)
    return math.prod(max(1, size) for size in shape) * max(1, kind.itemsize)


def _layers(arrays: dict[str, NDArray[Any]]) -> list[tuple[Array, Array]]:
    count = sum(name[0] == "W" and name[1:].isdigit() for name in arrays)
    layers = [(_floats(arrays[f"W{i}"]), _floats(arrays[f"b{i}"])) for i in range(count)]
    if not layers:
        raise ValueError("no layers W0, b0, ...")
    for i, (weight, bias) in enumerate(layers):
        if bias.ndim != 1 or weight.shape[:-1] != bias.shape:
            raise ValueError(f"W{i} {weight.shape} and b{i} {bias.shape} do not fit")
        if i and weight.shape[1] != layers[i - 1][0].shape[0]:
            raise ValueError(f"W{i} {weight.shape} does not follow W{i - 1} {layers[i - 1][0].shape}")
    return layers


def _floats(array: NDArray[Any]) -> Array:
    return np.ascontiguousarray(array, dtype=np.float32)


_ACTIVATIONS: Final[dict[str, Callable[[Array], Array]]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "leaky_relu": lambda x: np.maximum(x, np.float32(0.01) * x),
    # a sigmoid by tanh, which does not overflow
    "silu": lambda x: x * (np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)),
}


def _activation(name: str) -> Callable[[Array], Array]:
    if name not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}")
    return _ACTIVATIONS[name]
