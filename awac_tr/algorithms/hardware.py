"""What ``auto`` means on this machine: the precision of the hidden layers, and whether the update is compiled."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
import shutil
import sys
from typing import TYPE_CHECKING, Final

import torch

from awac_tr.errors import RecipeError

if TYPE_CHECKING:
    from awac_tr.models.networks import Precision
    from awac_tr.recipes.schema import Recipe

__all__ = ["WORTH_COMPILING", "bf16_units", "cannot_compile", "resolve_compile", "resolve_precision"]

_log = logging.getLogger(__name__)

WORTH_COMPILING: Final = 20_000
"""Updates of a run from which ``compile: auto`` compiles: in a shorter one compiling takes longer than it saves."""

_WORTH_BF16: Final = 1024 * 256
"""Entries of a hidden layer's output, batch times width, from which ``precision: auto`` takes bf16 on a processor."""

_TENSOR_CORES: Final = 8
"""Compute capability of the first GPUs with bfloat16 units."""


def resolve_precision(recipe: Recipe, device: torch.device) -> Precision:
    """The precision of hidden layers: the recipe's, or for ``auto`` bf16 where it is the faster one; emulation is said.

    That is on a GPU with bfloat16 units, and on a processor that has them where hidden layers are large enough to gain
    by them (batch times width of at least 1024 x 256).

    Args:
        recipe: the experiment.
        device: of its updates.
    """
    units = bf16_units(device)
    if recipe.precision == "bf16" and units is None:
        _log.warning(
            "precision: bf16, but nothing here multiplies bfloat16 in hardware: it is emulated, and many times slower "
            "than fp32. precision=auto takes fp32 here, and bf16 where it is the faster one."
        )
    if recipe.precision != "auto":
        return recipe.precision
    largest = max(recipe.offline.batch_size, recipe.online.batch_size) * min(recipe.qvalue.hidden_sizes)
    if units is None or (device.type == "cpu" and largest < _WORTH_BF16):
        _log.info("precision: auto: fp32, since %s", "layers are small" if units else "there are no bfloat16 units")
        return "fp32"
    _log.info("precision: auto: bf16, by %s", units)
    return "bf16"


def bf16_units(device: torch.device) -> str | None:
    """What multiplies bfloat16 in hardware on a device; None: nothing, it would be emulated, slowly."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.cuda.get_device_name(device) if major >= _TENSOR_CORES else None
    found = torch.cpu.get_capabilities()
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}
    return next((name for flag, name in names.items() if found.get(flag)), None)


def resolve_compile(recipe: Recipe, device: torch.device) -> bool:
    """Whether to compile the update: as the recipe says, and for ``auto`` in runs long enough to gain by it.

    Args:
        recipe: the experiment.
        device: of its updates.

    Raises:
        RecipeError: ``compile: true`` where it cannot be.
    """
    wanted, obstacle = recipe.compile, cannot_compile(device)
    if wanted is True and obstacle is not None:
        raise RecipeError(f"compile: true, but {obstacle}", "write compile=false, or compile=auto.")
    if wanted != "auto":
        return wanted
    updates = recipe.offline.updates + recipe.online.steps * recipe.online.updates_per_step
    if updates < WORTH_COMPILING:
        return False
    if obstacle is not None:
        _log.info("compile: auto: not compiled, since %s", obstacle)
    return obstacle is None


def cannot_compile(device: torch.device) -> str | None:
    """What is missing for compiling an update; None: nothing."""
    known = inspect.signature(torch.compile).parameters
    if "isolate_recompiles" not in known or not hasattr(torch._dynamo.config, "trace_autograd_ops"):  # noqa: SLF001
        return f"torch {torch.__version__} cannot compile losses together with their gradients"
    if device.type == "cuda":
        return None if importlib.util.find_spec("triton") else "triton is not installed"
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")  # as torch chooses
    return None if shutil.which(compiler) else f"there is no C++ compiler ({compiler})"
