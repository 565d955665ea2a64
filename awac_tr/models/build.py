"""From the sections of a recipe to policies and critics with TorchRL's keys."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from tensordict import NestedKey, TensorDictBase
from tensordict.nn import (
    InteractionType,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModuleBase,
    dispatch,
)
from torch import Tensor, nn
from torchrl.modules.distributions import IndependentNormal, TanhNormal

from awac_tr.envs.action_units import bounds_text, require_bounds
from awac_tr.errors import EnvError
from awac_tr.keys import ACTION, OBSERVATION
from awac_tr.models.networks import GaussianNet, Precision, QNet, Standardizer, VNet
from awac_tr.recipes.schema import PolicySection, QValueSection

__all__ = [
    "RANGE",
    "Keyed",
    "action_range",
    "build_policy",
    "build_qvalues",
    "build_value",
    "inner_margin",
    "set_observation_statistics",
]

_log = logging.getLogger(__name__)
_SQUASHED_MARGIN: Final = 1e-3

RANGE: Final = (".centre", ".half_width")
"""Endings of the names of tensors that map a policy's outputs to the action bounds; none of them is learnt."""


def inner_margin(spec: PolicySection) -> float:
    """How far inside their bounds the actions of a dataset must lie for a policy to learn from them.

    At the bounds a squashed Gaussian has no density.

    Examples:
        >>> inner_margin(PolicySection()), inner_margin(PolicySection(distribution="tanh_normal"))
        (0.0, 0.001)
    """
    return _SQUASHED_MARGIN if spec.distribution == "tanh_normal" else 0.0


class Keyed(TensorDictModuleBase):
    """A network with TensorDict keys: TensorDict's own ``TensorDictModule``, less what it costs.

    ``TensorDictModule`` asks for every output whether it is a data frame, and looks for pandas on the disk to know:
    ten times an update. Here outputs are tensors.

    Args:
        module: takes one tensor for each of ``in_keys``, gives one for each of ``out_keys`` (a tuple if several).
        in_keys: what it reads.
        out_keys: what it writes.

    Examples:
        >>> Keyed(nn.Linear(3, 1), ["observation"], ["value"])(observation=torch.zeros(5, 3)).shape
        torch.Size([5, 1])
    """

    def __init__(self, module: nn.Module, in_keys: Sequence[NestedKey], out_keys: Sequence[NestedKey]) -> None:
        super().__init__()
        self.module = module
        self.in_keys = list(in_keys)
        self.out_keys = list(out_keys)

    @dispatch(auto_batch_size=False)
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the outputs into the TensorDict, and return it."""
        out = self.module(*(tensordict.get(key) for key in self.in_keys))
        for key, value in zip(self.out_keys, out if isinstance(out, tuple) else (out,), strict=True):
            tensordict.set(key, value)
        return tensordict


def build_policy(
    spec: PolicySection,
    observation_size: int,
    action_size: int,
    *,
    action_low: npt.ArrayLike | None = None,
    action_high: npt.ArrayLike | None = None,
    precision: Precision = "fp32",
) -> ProbabilisticTensorDictSequential:
    """pi_theta(a | s): ``observation`` -> ``loc``, ``scale`` -> ``action``.

    ``normal`` has its mean squashed by tanh, unless ``squash_mean`` is false, and its density not (the authors' code);
    ``tanh_normal`` is TorchRL's squashed Gaussian. Where the action bounds are not -1 and 1, means, deviations and
    squashing are mapped to them linearly. ``spec.init_from`` is not looked at: whoever calls loads weights afterwards.

    Args:
        spec: the ``policy`` section of a recipe.
        observation_size: features of an observation.
        action_size: dimensions of an action.
        action_low: [action_size] lower bounds of an action; None: -1.
        action_high: [action_size] upper bounds; None: 1.
        precision: ``bf16`` runs the hidden layers in bfloat16, see :class:`~awac_tr.models.networks.MLP`.

    Returns:
        A module whose log-probabilities have shape [B] for observations [B, observation_size]. Called, it samples,
        or gives the deterministic action (for tanh_normal, tanh of ``loc``) under TorchRL's exploration type
        ``DETERMINISTIC``.

    Raises:
        EnvError: bounds of the wrong size, not finite, or crossed.

    Examples:
        >>> from tensordict import TensorDict
        >>> policy = build_policy(PolicySection(hidden_sizes=(16,)), 3, 2)
        >>> batch = policy(TensorDict({"observation": torch.zeros(5, 3)}, [5]))
        >>> batch["action"].shape, policy.get_dist(batch).log_prob(batch["action"]).shape
        (torch.Size([5, 2]), torch.Size([5]))
    """
    affine = action_range(action_size, action_low, action_high)
    squashed = spec.distribution == "tanh_normal"
    net = GaussianNet(
        observation_size,
        action_size,
        spec.hidden_sizes,
        spec.activation,
        log_std_min=spec.log_std_min,
        log_std_max=spec.log_std_max,
        log_std_map=spec.log_std_map,
        dependent=spec.std == "dependent",
        squash_mean=spec.squash_mean and not squashed,
        affine=None if squashed else affine,
        precision=precision,
        dropout=spec.dropout,
    )
    kwargs: dict[str, Any] = {} if squashed else {"validate_args": False}
    if squashed and affine is not None:
        kwargs = {"low": affine[0] - affine[1], "high": affine[0] + affine[1]}
    return ProbabilisticTensorDictSequential(
        Keyed(net, in_keys=[OBSERVATION], out_keys=["loc", "scale"]),
        ProbabilisticTensorDictModule(
            in_keys=["loc", "scale"],
            out_keys=[ACTION],
            distribution_class=TanhNormal if squashed else IndependentNormal,
            distribution_kwargs=kwargs,
            default_interaction_type=InteractionType.RANDOM,
        ),
    )


def build_qvalues(
    spec: QValueSection, observation_size: int, action_size: int, *, precision: Precision = "fp32"
) -> list[Keyed]:
    """Q_phi(s, a), ``spec.count`` times, initialised separately: ``observation``, ``action`` -> ``state_action_value``.

    Each gives [B, 1] for observations [B, observation_size] and actions [B, action_size].

    Examples:
        >>> len(build_qvalues(QValueSection(), 3, 2))
        2
    """
    options = _critic_options(spec, precision)
    return [
        Keyed(
            QNet(observation_size, action_size, spec.hidden_sizes, spec.activation, **options),
            in_keys=[OBSERVATION, ACTION],
            out_keys=["state_action_value"],
        )
        for _ in range(spec.count)
    ]


def build_value(spec: QValueSection, observation_size: int, *, precision: Precision = "fp32") -> Keyed:
    """V(s) with the layers of the critics: ``observation`` -> ``state_value`` [B, 1]."""
    net = VNet(observation_size, spec.hidden_sizes, spec.activation, **_critic_options(spec, precision))
    return Keyed(net, in_keys=[OBSERVATION], out_keys=["state_value"])


def _critic_options(spec: QValueSection, precision: Precision) -> dict[str, Any]:
    return {"precision": precision, "layer_norm": spec.layer_norm, "dropout": spec.dropout}


def set_observation_statistics(module: nn.Module, mean: Tensor | npt.ArrayLike, std: Tensor | npt.ArrayLike) -> None:
    """Standardise observations by mean and deviation, [observation_size] each, in a policy or critic of this package.

    A loss copies the buffers of its critics when it is built: set statistics before that. Features with a deviation
    below 1e-6 are centred only.

    Raises:
        ValueError: unsuitable statistics, or a module that standardises nothing.
    """
    found = [part for part in module.modules() if isinstance(part, Standardizer)]
    if not found:
        raise ValueError(f"{type(module).__name__} holds no Standardizer: its observations cannot be standardised")
    for part in found:
        part.set_statistics(mean, std)


def action_range(size: int, low: npt.ArrayLike | None, high: npt.ArrayLike | None) -> tuple[Tensor, Tensor] | None:
    """Centre and half-width [size] of the action bounds; None if they are -1 and 1.

    Raises:
        EnvError: bounds of the wrong size, not finite, or crossed.
    """
    bounds = [
        np.asarray(default if bound is None else bound, dtype=np.float32)
        for bound, default in ((low, -1.0), (high, 1.0))
    ]
    for name, bound in zip(("low", "high"), bounds, strict=True):
        if bound.shape not in ((), (size,)):
            raise EnvError(f"action_{name} has shape {list(bound.shape)}, actions have [{size}]")
    lower, upper = (np.broadcast_to(bound, (size,)) for bound in bounds)
    require_bounds(lower, upper, "the environment", "a policy")
    if (lower == -1).all() and (upper == 1).all():
        return None
    _log.info("policy outputs are mapped to the action bounds %s", bounds_text(lower, upper))
    return torch.tensor((upper + lower) / 2), torch.tensor((upper - lower) / 2)
