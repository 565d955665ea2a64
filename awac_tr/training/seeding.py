"""One seed for a run, independent streams for its parts, and the state of every generator for checkpoints."""

from __future__ import annotations

import random
from typing import Any, Final, NamedTuple

import numpy as np
import torch

__all__ = ["Seeds", "restore_rng", "rng_state", "seed_everything"]

_LIMIT: Final = 2**31


class Seeds(NamedTuple):
    """Seeds of the parts of a run, each in [0, 2^31): independent streams that one number fixes."""

    learner: int
    buffer: int
    env: int

    @classmethod
    def of(cls, seed: int) -> Seeds:
        """Spawn them from a run's seed.

        Example:
            >>> Seeds.of(0) == Seeds.of(0), Seeds.of(0) == Seeds.of(1)
            (True, False)
        """
        return cls(*(int(x) % _LIMIT for x in np.random.SeedSequence(seed).generate_state(3)))


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (libraries draw from the global stream)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """State of the global generators as tensors and plain data."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "python": [version, list(internal), gauss],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_rng(state: dict[str, Any]) -> None:
    """Take up what :func:`rng_state` gave; streams of GPUs that are not here are left out."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
