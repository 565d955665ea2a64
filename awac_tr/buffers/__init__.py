"""From dataset files into TorchRL's replay buffer: loading, sampling, hindsight, n-step transitions.

The public names are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from awac_tr.buffers.buffer import build_buffer as build_buffer
    from awac_tr.buffers.buffer import load_buffer as load_buffer
    from awac_tr.buffers.loading import load_transitions as load_transitions

_HOMES: Final = {
    "build_buffer": "awac_tr.buffers.buffer",
    "load_buffer": "awac_tr.buffers.buffer",
    "load_transitions": "awac_tr.buffers.loading",
}

__all__ = ["build_buffer", "load_buffer", "load_transitions"]


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
