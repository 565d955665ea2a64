"""A whole update as one CUDA graph: launching its hundreds of kernels one by one takes longer than they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from torch import Tensor

__all__ = ["Captured"]

_WARM_UP: Final = 3
"""Calls before recording: torch compiles, allocates and makes optimiser states in them."""


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: TensorDictBase


class Captured:
    """A function of a batch, recorded as a CUDA graph for each batch size and replayed from then on.

    TensorDict's ``CudaGraphModule`` waits for the device at every call; here the host never waits.

    Args:
        function: batch on a GPU -> TensorDict. It must do the same to the same tensors at every call, in place, and
            must not wait for the device. What it draws comes from torch's global generator.
    """

    def __init__(self, function: Callable[[TensorDictBase], TensorDictBase]) -> None:
        self._function = function
        self._calls: dict[torch.Size, int] = {}
        self._recordings: dict[torch.Size, _Recording] = {}
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """The function's result, in tensors that the next call overwrites."""
        size = batch.batch_size
        recording = self._recordings.get(size)
        if recording is None:
            calls = self._calls[size] = self._calls.get(size, 0) + 1
            if calls <= _WARM_UP:
                return self._warm_up(batch)
            recording = self._recordings[size] = self._record(batch)
        torch._foreach_copy_(recording.inputs, _leaves(batch))
        recording.graph.replay()
        return recording.outputs

    def _warm_up(self, batch: TensorDictBase) -> TensorDictBase:
        """Call it beside the current stream, where memory is allocated as the recording will need it."""
        self._stream = self._stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            out = self._function(batch)
        torch.cuda.current_stream().wait_stream(self._stream)
        return out

    def _record(self, batch: TensorDictBase) -> _Recording:
        """Nothing is computed here, only written down."""
        graph, inputs = torch.cuda.CUDAGraph(), batch.clone()
        with torch.cuda.graph(graph):
            outputs = self._function(inputs)
        return _Recording(graph, _leaves(inputs), outputs)


def _leaves(batch: TensorDictBase) -> list[Tensor]:
    return list(batch.values(include_nested=True, leaves_only=True))
