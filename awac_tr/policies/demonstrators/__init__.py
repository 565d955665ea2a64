"""Packaged demonstrators: small policies this project cloned from trained experts; see docs/demonstrators.md."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from awac_tr.errors import EnvError

__all__ = ["DEMONSTRATORS", "demonstrator_path"]

DEMONSTRATORS: Final[dict[str, str]] = {
    "pen-binary-v0": "pen.pt",
    "door-binary-v0": "door.pt",
    "relocate-binary-v0": "relocate.pt",
    "HalfCheetah-v5": "halfcheetah.pt",
    "Walker2d-v5": "walker2d.pt",
    "Ant-v5": "ant.pt",
}
"""Environment id -> checkpoint beside this file."""


def demonstrator_path(env_id: str) -> Path:
    """The checkpoint of an environment's demonstrator, by the registered id with or without a ``module:`` prefix.

    Raises:
        EnvError: none is packaged for it.

    >>> demonstrator_path("door-binary-v0").name
    'door.pt'
    """
    name = DEMONSTRATORS.get(env_id.rpartition(":")[2])
    if name is None:
        raise EnvError(
            f"no demonstrator is packaged for {env_id} (there is one for {', '.join(DEMONSTRATORS)})",
            "give a policy of your own: awac-tr collect --source policy --policy FILE.npz (or a checkpoint .pt).",
        )
    return Path(__file__).with_name(name)
