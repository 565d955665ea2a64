"""One file format for every policy this project writes: tensors and plain data, opened with ``weights_only``.

A checkpoint is a dictionary::

    {"format": "awac-tr-checkpoint", "version": 1, "kind": "policy" | "train",
     "policy": {"spec", "state", "observation_size", "action_size", "action_low", "action_high", "acting"},
     "env": {"id", "kwargs", "horizon"},
     "info": {...}}                       # plain data: where it came from, how well it did

and for ``kind: train`` whatever the loop needs to go on. ``acting``, in files of version 2 only, is how a policy acts
that takes the best of several actions; where these are not its own samples, ``state`` is empty. A file is never trusted
to run code.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import ValidationError
from torch import Tensor, nn

from awac_tr.envs.action_units import ActionUnits
from awac_tr.errors import CheckpointError, EnvError
from awac_tr.policies.actor import Actor, actor_of
from awac_tr.policies.archive import first_line, read_archive, require_room
from awac_tr.policies.best_of_samples import build_acting
from awac_tr.recipes.schema import FoundEnv, PolicySection
from awac_tr.utils.atomic import cannot_write, replacing

if TYPE_CHECKING:
    from tensordict.nn import ProbabilisticTensorDictSequential

    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.models.best_of_samples import BestOfSamples

__all__ = ["FORMAT", "VERSION", "LoadedPolicy", "load_policy", "policy_entry", "read_checkpoint", "save_checkpoint"]

FORMAT: Final = "awac-tr-checkpoint"
VERSION: Final = 2
_PLAIN_VERSION: Final = 1
"""Of files that earlier releases read too: a policy that acts by itself."""

_POLICY_KEYS: Final = ("spec", "state", "observation_size", "action_size", "action_low", "action_high")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy and what its file says of it.

    Attributes:
        module: keys ``observation`` [B, observation_size] -> ``loc``, ``scale``, ``action`` [B, action_size], float32;
            None where actions are not a policy's.
        acting: takes the best of several actions, ``observation`` -> ``action``; None: the policy acts by itself.
        spec: the recipe section it was built from.
        env: the environment it was trained for; nothing that it names has been imported, see :class:`FoundEnv`.
        action_low: lower bounds of the actions, [action_size] float32.
        action_high: upper bounds of the actions, [action_size] float32.
        kind: ``policy`` or ``train``.
        info: plain data, free form.
        path: the file it came from.
    """

    module: ProbabilisticTensorDictSequential | None
    acting: BestOfSamples | None
    spec: PolicySection
    env: FoundEnv
    observation_size: int
    action_size: int
    action_low: np.ndarray
    action_high: np.ndarray
    kind: Literal["policy", "train"]
    path: Path
    info: dict[str, Any] = field(default_factory=dict)

    def require(self, env_id: str, observation_size: int, action_size: int) -> None:
        """Refuse to act in another task than the policy was made for.

        Raises:
            CheckpointError: the environment's id or sizes differ from the checkpoint's.
        """
        mine = (self.env.name, self.observation_size, self.action_size)
        if mine != (env_id, observation_size, action_size):
            raise CheckpointError(
                f"{self.path} is a policy for {mine[0]} (observations {mine[1]}, actions {mine[2]}), "
                f"not for {env_id} (observations {observation_size}, actions {action_size})",
                f"use it with --env {self.env.id}, or give a checkpoint that was trained on {env_id}.",
            )

    def act(self, observation: ArrayLike, noise: np.ndarray | None = None) -> np.ndarray:
        """Actions for an observation [o] or a batch [B, o], not clipped, see :meth:`.actor.Actor.act`."""
        return self._rows.act(observation, noise)

    @property
    def acts(self) -> ProbabilisticTensorDictSequential | BestOfSamples:
        """What acts: the policy, or what takes the best of several actions."""
        found = self.module if self.acting is None else self.acting
        if found is None:
            raise CheckpointError(f"{self.path} holds nothing that acts")
        return found

    @cached_property
    def _rows(self) -> Actor:
        return actor_of(self.acts)

    def units(self, env: EnvInfo) -> ActionUnits:
        """What the numbers of its actions mean, as far as its file and the environment it is used in tell."""
        from awac_tr.envs.env_info import units_of_file

        return units_of_file(self.env, self.action_low, self.action_high, env)


def policy_entry(
    module: nn.Module,
    spec: PolicySection,
    *,
    observation_size: int,
    action_size: int,
    action_low: np.ndarray | Sequence[float],
    action_high: np.ndarray | Sequence[float],
    acting: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The ``policy`` part of a checkpoint: copies of the module's tensors on the CPU, and how to build it again.

    Args:
        module: what :func:`awac_tr.models.build.build_policy` returned, statistics of the observations included; one
            without tensors where ``acting`` has no use for a policy.
        spec: the section it was built from.
        observation_size: entries of one observation.
        action_size: entries of one action.
        action_low: [action_size], or one number for all.
        action_high: the same.
        acting: of :func:`awac_tr.policies.best_of_samples.acting_entry`; None: the policy acts by itself.
    """
    return {
        "spec": spec.model_dump(mode="json"),
        "state": {name: value.detach().to("cpu", copy=True) for name, value in module.state_dict().items()},
        "observation_size": int(observation_size),
        "action_size": int(action_size),
        "action_low": [float(x) for x in np.broadcast_to(action_low, (action_size,))],
        "action_high": [float(x) for x in np.broadcast_to(action_high, (action_size,))],
        **({} if acting is None else {"acting": acting}),
    }


def save_checkpoint(path: str | Path, payload: Mapping[str, Any]) -> Path:
    """Write a checkpoint under its final name only when it is complete; an older file of that name is replaced.

    Missing folders are made; ``format`` and ``version`` are filled in.

    Raises:
        CheckpointError: the disk is full or the place cannot be written; nothing is left behind.
        TypeError: the payload holds something other than tensors and plain data (a mistake of the caller).
    """
    path = Path(path)
    version = VERSION if "acting" in payload["policy"] else _PLAIN_VERSION
    whole = {"format": FORMAT, "version": version, **payload}
    _require_plain(whole, "checkpoint")
    try:
        with replacing(path) as file:
            torch.save(whole, file)
    except OSError as error:
        raise cannot_write(path, error, CheckpointError) from error
    return path


def read_checkpoint(path: str | Path, *, kind: Literal["policy", "train"] | None = None) -> dict[str, Any]:
    """Read a checkpoint's dictionary, tensors on the CPU, without running anything that stands in the file.

    Raises:
        CheckpointError: missing, truncated, not ours, of a newer version, not of the ``kind`` insisted on, or holding
            more than data.
    """
    path = Path(path)
    payload = read_archive(path)
    _require_format(path, payload, kind)
    return dict(payload)


def load_policy(path: str | Path) -> LoadedPolicy:
    """Build the policy of a checkpoint, of either kind, on the CPU and in evaluation mode.

    Raises:
        CheckpointError: as :func:`read_checkpoint`; also when the tensors do not fit the policy that the file
            describes, or are not finite.
    """
    path = Path(path)
    payload = read_checkpoint(path)
    entry, env = payload["policy"], payload["env"]
    try:
        spec = PolicySection.model_validate_json(json.dumps(entry["spec"]))
        low = np.asarray(entry["action_low"], dtype=np.float32)
        high = np.asarray(entry["action_high"], dtype=np.float32)
        module, acting = _built(entry, spec, low, high)
        return LoadedPolicy(
            module=module,
            acting=acting,
            spec=spec,
            env=FoundEnv.model_validate_json(json.dumps(env)),
            observation_size=entry["observation_size"],
            action_size=entry["action_size"],
            action_low=low,
            action_high=high,
            kind=payload["kind"],
            path=path,
            info=dict(payload.get("info", {})),
        )
    except (EnvError, ValidationError, RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: the policy cannot be built from what the file says: {first_line(error)}",
            "the file was changed by hand or written by another version.",
        ) from error


def _built(
    entry: Mapping[str, Any], spec: PolicySection, low: np.ndarray, high: np.ndarray
) -> tuple[ProbabilisticTensorDictSequential | None, BestOfSamples | None]:
    """The policy, if the file has one, and what takes the best of several actions, likewise."""
    acting = entry.get("acting")
    states = [entry["state"], *([] if acting is None else [acting["state"]])]
    broken = [name for state in states for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(f"values that are not finite in {', '.join(broken[:3])}: the training diverged")
    # the initial weights are overwritten; the caller's random stream must not notice that they were drawn
    with torch.random.fork_rng(devices=[]):
        policy = None if acting is not None and not entry["state"] else _policy(entry, spec, low, high)
        if acting is None:
            return policy, None
        sizes = (entry["observation_size"], entry["action_size"])
        return policy, build_acting(acting, policy, *sizes, (low, high))


def _policy(
    entry: Mapping[str, Any], spec: PolicySection, low: np.ndarray, high: np.ndarray
) -> ProbabilisticTensorDictSequential:
    from awac_tr.models.build import build_policy

    require_room(spec, entry)
    module = build_policy(
        spec,
        entry["observation_size"],
        entry["action_size"],
        action_low=torch.as_tensor(low),
        action_high=torch.as_tensor(high),
    )
    module.load_state_dict(entry["state"])
    return module.eval().requires_grad_(requires_grad=False)


def _require_format(path: Path, payload: object, kind: str | None) -> None:
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by awac-tr", f"its 'format' should read {FORMAT!r}.")
    version = payload.get("version")
    if not isinstance(version, int) or version < 1:
        raise CheckpointError(f"{path} has no valid version number: {version!r}")
    if version > VERSION:
        raise CheckpointError(
            f"{path} has format version {version}; this awac-tr reads up to {VERSION}", "upgrade awac-tr."
        )
    found = payload.get("kind")
    if found not in ("policy", "train"):
        raise CheckpointError(f"{path} is of unknown kind {found!r}", "known kinds: policy, train.")
    if kind is not None and found != kind:
        raise CheckpointError(f"{path} is a {found} checkpoint, and a {kind} checkpoint is needed here")
    entry, env = payload.get("policy"), payload.get("env")
    missing = [key for key in _POLICY_KEYS if not isinstance(entry, dict) or key not in entry]
    missing += [key for key in ("id", "kwargs", "horizon") if not isinstance(env, dict) or key not in env]
    if missing:
        raise CheckpointError(
            f"{path} lacks {', '.join(missing)}", "the file was changed by hand or written by another version."
        )
    # by its own mean such a policy is another one
    acting = payload["policy"].get("acting") is not None
    if acting != (version > _PLAIN_VERSION):
        message = f"{path} has format version {version} {'with' if acting else 'without'} 'acting', how its policy acts"
        raise CheckpointError(message, "the file was changed by hand or cut short.")


def _require_plain(value: object, where: str) -> None:
    """Refuse at writing what ``weights_only`` would refuse at reading, where the mistake can still be mended."""
    if value is None or type(value) in (bool, int, float, str, bytes, Tensor, nn.Parameter):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if type(key) not in (str, int):
                raise TypeError(
                    f"{where}: a key of type {type(key).__name__}; only str and int survive weights_only loading"
                )
            _require_plain(item, f"{where}.{key}")
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):  # type: ignore[arg-type]
            _require_plain(item, f"{where}[{index}]")
    else:
        raise TypeError(f"{where} is a {type(value).__name__}; checkpoints hold tensors and plain data only")
