"""What torch is asked for where a run has to repeat itself to the last bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["deterministic_algorithms"]


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
