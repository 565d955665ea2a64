"""The losses and their gradients as one compiled graph."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from tensordict import TensorDictBase

__all__ = ["Compiled"]

_log = logging.getLogger(__name__)

_OPTIONS: Final[dict[str, Any]] = {
    # Only shapes are looked at: a learner compiles anew when an option has changed. The other guards cost 0.6 ms a
    # call, a twentieth of a paper-sized update in bf16.
    "guard_filter_fn": torch.compiler.keep_tensor_guards_unsafe,
    # the same random numbers as without compiling
    "fallback_random": True,
}


class Compiled:
    """A function of a batch, compiled once for each batch size at its first call, without graph breaks.

    The graphs are kept by torch between runs (in ``TORCHINDUCTOR_CACHE_DIR``), which makes the first call of a later
    run quicker. What each took is logged.

    Args:
        function: batch -> tensors. Whatever else it reads must be the same at every call, but for the values of
            tensors.
    """

    def __init__(self, function: Callable[[TensorDictBase], Any]) -> None:
        # isolated (not in the stubs yet): without guards, another learner would be given this one's graph;
        # a copy of the options: torch takes out what it has read
        compiled: Callable[[TensorDictBase], Any] = torch.compile(  # type: ignore[call-overload]
            function, fullgraph=True, dynamic=False, isolate_recompiles=True, options=dict(_OPTIONS)
        )
        self._function = compiled
        self._seen: set[torch.Size] = set()

    def __call__(self, batch: TensorDictBase) -> Any:
        """The function's result."""
        if batch.batch_size in self._seen:
            return self._function(batch)
        begun = time.perf_counter()
        with _tracing():
            out = self._function(batch)
        self._seen.add(batch.batch_size)
        _log.info("update compiled for batches of %d in %.0f s", batch.numel(), time.perf_counter() - begun)
        return out


@contextmanager
def _tracing() -> Iterator[None]:
    """What the first call needs: gradients in the graph, and none of the tracer's warnings about torch's own code."""
    with torch._dynamo.config.patch(trace_autograd_ops=True), warnings.catch_warnings():  # noqa: SLF001
        warnings.simplefilter("ignore")
        yield
