"""From dataset files into TorchRL's replay buffer: loading, sampling, hindsight, n-step transitions.

The public names are imported when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from awac_tr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from awac_tr.buffers.buffer import build_buffer as build_buffer
    from awac_tr.buffers.buffer import load_buffer as load_buffer
    from awac_tr.buffers.loading import load_transitions as load_transitions

_HOMES: Final = {
    "build_buffer": "awac_tr.buffers.buffer",
    "load_buffer": "awac_tr.buffers.buffer",
    "load_transitions": "awac_tr.buffers.loading",
}

__all__ = list(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
