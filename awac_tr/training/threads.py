"""How many intra-op threads torch uses: all for updates, one for acting."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from awac_tr.recipes.schema import Recipe

__all__ = ["intra_op_threads", "say_where_a_core_is_missing"]

_log = logging.getLogger(__name__)


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
