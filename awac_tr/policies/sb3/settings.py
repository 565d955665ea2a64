"""What the JSON of a Stable-Baselines3 file says of its actor, as far as that can be known without unpickling.

Things that JSON cannot say stand there as pickles, beside a line of text for people to read. The text is enough for
classes ("<class 'torch.nn.modules.activation.ReLU'>") and for bounds ("[-1. -1.]"). What it does not say is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from awac_tr.policies.sb3.archive import refuse

__all__ = ["Family", "Settings", "noted_bounds", "read_settings", "refuse_unknown"]

Family = Literal["squashed", "deterministic", "actor_critic"]

TRUST_HINT: Final = (
    "if you trust whoever made the file: --trust (in Python: trust=True) lets Stable-Baselines3 load it, which "
    'runs code that stands in the file, and takes pip install "awac-tr[sb3]".'
)

_FAMILIES: Final[dict[str, Family]] = {
    "stable_baselines3.sac.policies": "squashed",
    "sb3_contrib.tqc.policies": "squashed",
    "stable_baselines3.td3.policies": "deterministic",
    "stable_baselines3.common.policies": "actor_critic",
}
_ACTIVATIONS: Final = {
    f"<class 'torch.nn.modules.activation.{name}'>": ours
    for name, ours in {
        "ReLU": "relu", "Tanh": "tanh", "ELU": "elu", "LeakyReLU": "leaky_relu", "SiLU": "silu",
    }.items()
}  # fmt: skip
_BOXES: Final = ("<class 'gym.spaces.box.Box'>", "<class 'gymnasium.spaces.box.Box'>")
_FLATTEN: Final = "<class 'stable_baselines3.common.torch_layers.FlattenExtractor'>"

_READ: Final = ("activation_fn", "clip_mean", "features_extractor_class", "squash_output", "use_expln", "use_sde")
_NO_MATTER: Final = (
    "features_extractor_kwargs", "full_std", "log_std_init", "lr_schedule", "n_critics", "n_quantiles", "net_arch",
    "normalize_images", "optimizer_class", "optimizer_kwargs", "ortho_init", "share_features_extractor",
)  # fmt: skip
"""Arguments of a policy that do not change what its stored actor computes, or show in the shapes of its tensors."""


@dataclass(frozen=True)
class Settings:
    """What decides, beside its tensors, how an actor acts.

    Attributes:
        family: ``squashed`` (SAC, TQC), ``deterministic`` (TD3, DDPG) or ``actor_critic`` (PPO, A2C, TRPO).
        activation: of hidden layers, a name that :mod:`awac_tr.policies.experts` knows.
        use_sde: exploration noise depends on the state (gSDE).
        use_expln: deviations of that noise grow like a logarithm beyond 1.
        sde_sample_freq: steps after which its matrix is drawn again; -1: once an episode.
        squash_output: a tanh after the noise, for ``actor_critic``; the other families always have one.
        clip_mean: gSDE's bound of the mean before the tanh; 0: none.
        bounds: lower and upper bounds of the actions it was trained with, [action_size] each; None: not readable.
        normalised: it was trained inside a ``VecNormalize``, whose statistics are not in the file.
    """

    family: Family
    activation: str
    use_sde: bool
    use_expln: bool
    sde_sample_freq: int
    squash_output: bool
    clip_mean: float
    bounds: tuple[NDArray[np.float32], NDArray[np.float32]] | None
    normalised: bool


def refuse_unknown(path: Path, what: str) -> NoReturn:
    """Say what cannot be known without trusting the file, and how to trust it.

    Raises:
        CheckpointError: always.
    """
    refuse(path, f"{what}, which cannot be told without running code of the file", TRUST_HINT)


def read_settings(path: Path, data: dict[str, Any]) -> Settings:
    """Settings from ``data``, the file's JSON; pickles in it are not touched.

    Raises:
        CheckpointError: it is of another kind of policy, or says too little.
    """
    module = _part(path, data, "policy_class").get("__module__")
    if not isinstance(module, str) or module not in _FAMILIES:
        refuse_unknown(
            path, f"its policy is a class of {str(module)[:80]!a}, not of SAC, TQC, TD3, DDPG, PPO, A2C, TRPO"
        )
    family = _FAMILIES[module]
    kwargs = {key: value for key, value in _part(path, data, "policy_kwargs").items() if not key.startswith(":")}
    _require_known(path, kwargs)
    _require_vectors(path, data)
    freq = data.get("sde_sample_freq", -1)
    if type(freq) is not int:
        refuse_unknown(path, "its sde_sample_freq is no number")
    _part(path, data, "action_space")
    return Settings(
        family=family,
        activation=_activation(path, kwargs.get("activation_fn"), family),
        use_sde=_flag(path, kwargs, "use_sde") or _flag(path, data, "use_sde"),
        use_expln=_flag(path, kwargs, "use_expln"),
        sde_sample_freq=freq,
        squash_output=_flag(path, kwargs, "squash_output"),
        clip_mean=_clip_mean(path, kwargs),
        bounds=noted_bounds(data),
        # the off-policy algorithms of older versions set this one in any case
        normalised=family == "actor_critic" and data.get("_last_original_obs") is not None,
    )


def noted_bounds(data: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Bounds of the actions that a policy was trained with, [a] each; None where the file does not tell them."""
    space = data.get("action_space")
    low, high = (_numbers(space.get(side)) if isinstance(space, dict) else None for side in ("low", "high"))
    return None if low is None or high is None or len(low) != len(high) else (low, high)


def _part(path: Path, data: dict[str, Any], name: str) -> dict[str, Any]:
    part = data.get(name)
    if not isinstance(part, dict):
        refuse(path, f"its 'data' says nothing of {name!r}", "save the whole model with Stable-Baselines3's save().")
    return part


def _require_known(path: Path, kwargs: dict[str, Any]) -> None:
    unknown = sorted(set(kwargs) - set(_READ) - set(_NO_MATTER))
    if unknown:
        refuse_unknown(path, f"its policy_kwargs have {', '.join(ascii(name[:60]) for name in unknown[:3])}")
    extractor = kwargs.get("features_extractor_class", _FLATTEN)
    if extractor != _FLATTEN:
        refuse_unknown(path, f"its policy looks through a features extractor, {str(extractor)[:120]!a}")


def _require_vectors(path: Path, data: dict[str, Any]) -> None:
    for name in ("observation_space", "action_space"):
        space = _part(path, data, name)
        kind = space.get(":type:")
        if not isinstance(kind, str) or kind not in _BOXES:
            only = "vectors of numbers are supported; images, dictionaries and discrete actions are not."
            refuse(path, f"its {name} is {str(kind)[:80]!a}", only)
        shape = space.get("_shape", space.get("shape"))
        if not isinstance(shape, list) or len(shape) != 1:
            refuse(path, f"its {name} has shape {str(shape)[:80]!a}", "only vectors are supported.")


def _activation(path: Path, said: object, family: Family) -> str:
    if said is None:
        return "tanh" if family == "actor_critic" else "relu"
    if not isinstance(said, str) or said not in _ACTIVATIONS:
        refuse_unknown(path, f"its activation function is {str(said)[:120]!a}")
    return _ACTIVATIONS[said]


def _flag(path: Path, values: dict[str, Any], name: str) -> bool:
    value = values.get(name, False)
    if not isinstance(value, bool):
        refuse_unknown(path, f"its {name} is {str(value)[:60]!a}")
    return value


def _clip_mean(path: Path, kwargs: dict[str, Any]) -> float:
    value = kwargs.get("clip_mean", 2.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        refuse_unknown(path, f"its clip_mean is {str(value)[:60]!a}")
    return float(value)


def _numbers(text: object) -> NDArray[np.float32] | None:
    """``"[-1. -1.]"`` -> its numbers; None where numpy shortened the text, or it is none.

    >>> _numbers("[-0.4  0.4]"), _numbers("[-1. ... -1.]")
    (array([-0.4,  0.4], dtype=float32), None)
    """
    inside = re.fullmatch(r"\[([^\[\]]*)\]", text) if isinstance(text, str) else None
    try:
        return None if inside is None else np.array([float(word) for word in inside[1].split()], np.float32)
    except ValueError:
        return None
