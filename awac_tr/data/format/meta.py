"""What a dataset says about itself: environment, origin, lineage, licence; as attributes of the file's root."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np

from awac_tr.data.format.spec import FORMAT, VERSION
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import FoundEnv

__all__ = ["DatasetMeta", "Parent", "meta_from_attributes", "meta_to_attributes", "versions"]

Bounds = Sequence[float] | np.ndarray[Any, Any]

_PACKAGES: Final = {
    "awac_tr": "awac-tr",
    "gymnasium": "gymnasium",
    "gymnasium_robotics": "gymnasium-robotics",
    "mujoco": "mujoco",
    "numpy": "numpy",
    "torch": "torch",
}


@dataclass(frozen=True)
class Parent:
    """A dataset this one was made from: its name when it was used, content hash, and how that one came about."""

    name: str
    hash: str
    source: str = ""


@dataclass(frozen=True)
class DatasetMeta:
    """Everything about a dataset but its arrays.

    Args:
        env_id: Gymnasium id; empty where unknown.
        source: how the transitions came about: demos, bc, ou, random, policy, import.
        action_low: lower bound of each action entry, [a].
        action_high: upper bound of each action entry, [a].
        env_kwargs: keyword arguments of ``gymnasium.make``.
        env_options: wrappers, reward and the like, see :attr:`awac_tr.recipes.schema.EnvSection.options`.
        horizon: steps before an episode was cut; None where unknown.
        policy: what acted, in words (a packaged demonstrator's name, a checkpoint, a person).
        seed: seed of the whole collection; None where there was none.
        licence: licence of the data, SPDX where possible.
        description: one or two sentences.
        parents: datasets this one was made from.
        extra: anything more, plain JSON.
    """

    env_id: str
    source: str
    action_low: Bounds
    action_high: Bounds
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    env_options: dict[str, Any] = field(default_factory=dict)
    horizon: int | None = None
    policy: str = ""
    seed: int | None = None
    licence: str = ""
    description: str = ""
    parents: tuple[Parent, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("action_low", "action_high"):
            values = np.asarray(getattr(self, name), dtype=np.float64).ravel()
            object.__setattr__(self, name, tuple(float(value) for value in values))
        if len(self.action_low) != len(self.action_high):
            raise DatasetError(f"action_low has {len(self.action_low)} entries, action_high {len(self.action_high)}")

    @property
    def env(self) -> FoundEnv:
        """The environment in one piece, as the file says: nothing that it names is imported, see :class:`FoundEnv`.

        Raises:
            DatasetError: the file names none, or says of it what cannot be.
        """
        said = {"id": self.env_id, "kwargs": self.env_kwargs, "horizon": self.horizon, **self.env_options}
        try:
            return FoundEnv.model_validate_json(json.dumps(said))
        except ValueError as error:
            raise DatasetError(f"the environment {self.env_id!r} is described wrongly: {error}") from error


def versions() -> dict[str, str]:
    """Versions of the packages that a trajectory depends on; absent packages are left out."""
    found = {}
    for name, distribution in _PACKAGES.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            continue
    return found


def meta_to_attributes(meta: DatasetMeta) -> dict[str, Any]:
    """Root attributes of a new file: text, numbers, float64 arrays, and JSON text for what is nested."""
    try:
        nested = {
            "env_kwargs": json.dumps(meta.env_kwargs),
            **({"env_options": json.dumps(meta.env_options)} if meta.env_options else {}),
            "env_spec": json.dumps({"id": meta.env_id, "max_episode_steps": meta.horizon, "kwargs": meta.env_kwargs}),
            "parents": json.dumps([vars(parent) for parent in meta.parents]),
            "extra": json.dumps(meta.extra),
            "versions": json.dumps(versions()),
        }
    except (TypeError, ValueError) as error:
        raise DatasetError(f"what a dataset says about itself must be plain JSON: {error}") from error
    attributes = {
        "format": FORMAT,
        "format_version": VERSION,
        "env_id": meta.env_id,
        "source": meta.source,
        "policy": meta.policy,
        "licence": meta.licence,
        "description": meta.description,
        "action_low": np.asarray(meta.action_low, dtype=np.float64),
        "action_high": np.asarray(meta.action_high, dtype=np.float64),
        **nested,
    }
    optional = {"horizon": meta.horizon, "seed": meta.seed}
    return attributes | {name: value for name, value in optional.items() if value is not None}


def meta_from_attributes(attributes: Mapping[str, Any]) -> DatasetMeta:
    """Read back what :func:`meta_to_attributes` wrote.

    Raises:
        DatasetError: an attribute is missing or of another kind.
    """
    try:
        return DatasetMeta(
            env_id=str(attributes["env_id"]),
            source=str(attributes["source"]),
            action_low=attributes["action_low"],
            action_high=attributes["action_high"],
            env_kwargs=dict(json.loads(attributes["env_kwargs"])),
            env_options=dict(json.loads(attributes.get("env_options", "{}"))),
            horizon=_optional_int(attributes.get("horizon")),
            policy=str(attributes["policy"]),
            seed=_optional_int(attributes.get("seed")),
            licence=str(attributes["licence"]),
            description=str(attributes["description"]),
            parents=tuple(Parent(**parent) for parent in json.loads(attributes["parents"])),
            extra=dict(json.loads(attributes["extra"])),
        )
    except KeyError as error:
        hint = "The file was edited, or is not a whole dataset."
        raise DatasetError(f"the root attribute {error} is missing", hint) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise DatasetError(f"a root attribute cannot be understood: {error}") from error


def _optional_int(value: Any) -> int | None:
    return None if value is None else int(value)
