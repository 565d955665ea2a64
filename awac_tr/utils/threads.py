"""How many threads torch uses within an operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["intra_op_threads"]


@contextmanager
def intra_op_threads(count: int | None) -> Iterator[None]:
    """Use so many threads in the block, and as many as before after it; None changes nothing.

    A single-row policy call is some eighty times slower with two threads than with one while another process is busy.
    """
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
