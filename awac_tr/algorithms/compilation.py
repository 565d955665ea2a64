"""The losses and their gradients as one compiled graph."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import torch

from awac_tr.errors import RecipeError

if TYPE_CHECKING:
    from tensordict import TensorDictBase

__all__ = ["WORTH_COMPILING", "Compiled", "cannot_compile", "resolve_compile"]

_log = logging.getLogger(__name__)

WORTH_COMPILING: Final = 20_000
"""Updates of a run from which ``compile: auto`` compiles: below, compiling takes longer than it saves."""

_OPTIONS: Final[dict[str, Any]] = {
    # Options, modules and the optimiser stay as they are for the life of a learner: only shapes are looked at. The
    # other guards cost 0.6 ms a call, a tenth of an update.
    "guard_filter_fn": torch.compiler.keep_tensor_guards_unsafe,
    # the same random numbers as without compiling
    "fallback_random": True,
}


def resolve_compile(wanted: bool | Literal["auto"], updates: int, device: torch.device) -> bool:
    """Whether to compile.

    Args:
        wanted: the recipe's key.
        updates: of the whole run.
        device: of the update.

    Raises:
        RecipeError: ``compile: true`` where it cannot be.
    """
    if wanted is False:
        return False
    obstacle = cannot_compile(device)
    if wanted is True:
        if obstacle is not None:
            raise RecipeError(f"compile: true, but {obstacle}", "write compile=false, or compile=auto.")
        return True
    if updates < WORTH_COMPILING:
        return False
    if obstacle is not None:
        _log.info("compile: auto: not compiled, since %s", obstacle)
    return obstacle is None


def cannot_compile(device: torch.device) -> str | None:
    """What is missing for compiling; None: nothing."""
    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):  # noqa: SLF001  (there is no public name)
        return f"torch {torch.__version__} cannot compile losses together with their gradients"
    if device.type == "cuda":
        return None if importlib.util.find_spec("triton") else "triton is not installed"
    compiler = os.environ.get("CXX", "g++")
    found = any(shutil.which(name) for name in (compiler, "clang++"))
    return None if found else f"there is no C++ compiler ({compiler})"


class Compiled:
    """A function of a batch, compiled once for each batch size at its first call, without graph breaks.

    The graphs are kept by torch between runs (in ``TORCHINDUCTOR_CACHE_DIR``), which makes the first call of a later
    run quicker. What each took is logged.

    Args:
        function: batch -> tensors. Whatever else it reads must be the same objects at every call; tensors among them
            may change in place.
    """

    def __init__(self, function: Callable[[TensorDictBase], Any]) -> None:
        # isolated: without guards, another learner would be given this one's graph
        self._function = torch.compile(
            function, fullgraph=True, dynamic=False, isolate_recompiles=True, options=_OPTIONS
        )
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
