"""What decides whether a run repeats itself: seeds, the state of random generators, torch's algorithms and threads."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from awac_tr.recipes.schema import Recipe

__all__ = [
    "Seeds",
    "deterministic_algorithms",
    "restore_rng",
    "rng_state",
    "say_where_a_core_is_missing",
    "seed_everything",
]

_log = logging.getLogger(__name__)
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
            torch.from_numpy(np.asarray(keys, np.int64)),
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


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:  # noqa: FBT001  (the recipe's key)
    """Have torch use algorithms that repeat themselves, and refuse those for which it has none.

    On a CPU with a fixed number of threads runs repeat themselves anyway; CUDA adds numbers up in no fixed order where
    it is not asked to.

    Args:
        wanted: False changes nothing.
    """
    if not wanted:
        yield
        return
    # read when CUDA's matrix library starts; nothing of it runs before training
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before)


def say_where_a_core_is_missing(recipe: Recipe, device: torch.device) -> None:
    """Log it when updates use every core while other processes of the run are to work beside them.

    Two threads that wait for each other are slower than one, where something else has one of their cores.
    """
    beside = recipe.eval.background or (recipe.collect.ahead and recipe.online.steps > 0)
    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    if beside and device.type == "cpu" and threads >= cores > 1:
        _log.info(
            "updates use %d threads on %d cores, and other processes work beside them: threads=%d may be faster",
            threads,
            cores,
            cores - 1,
        )
