"""How likely a model of the behaviour finds data that it has learnt from, and data that it has not (Figure 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import torch

from awac_tr.keys import ACTION

if TYPE_CHECKING:
    from tensordict import TensorDictBase

    from awac_tr.buffers.buffer import TransitionBuffer
    from awac_tr.objectives.behaviour import BehaviourModel

__all__ = ["Likelihoods"]

_ROWS: Final = 128
_STREAM: Final = 0xF24


class Likelihoods:
    """Means of log pi_b(a | s) over up to 128 rows each, drawn by a stream of their own.

    Args:
        model: pi_b.
        buffer: offline rows, and what was collected.
        held_out: rows [N] of offline episodes that are not in the buffer; N may be 0.
    """

    def __init__(self, model: BehaviourModel, buffer: TransitionBuffer, held_out: TensorDictBase) -> None:
        self._model, self._buffer, self._held_out = model, buffer, held_out
        self._offline = len(buffer)

    def at(self, update: int) -> Mapping[str, float]:
        """After so many updates: of ``buffer``, all that is learnt from, and of the ``offline`` and ``held_out`` data.

        ``offline`` is left out where the buffer has written over offline rows.
        """
        buffer = self._buffer
        found = {"buffer": buffer[self._draw(len(buffer), update)]}
        if buffer.write_count <= buffer._storage.max_size:  # noqa: SLF001  (a ring writes over its first rows)
            found["offline"] = buffer[self._draw(self._offline, update)]
        if len(self._held_out):
            found["held_out"] = self._held_out[self._draw(len(self._held_out), update)]
        return {f"behaviour_log_prob_{name}": self._mean(rows) for name, rows in found.items()}

    def of_round(self, transitions: TensorDictBase) -> Mapping[str, float]:
        """Of a round [n] that was just collected: no model has learnt from it yet."""
        return {"behaviour_log_prob_new": self._mean(transitions[self._draw(len(transitions), len(transitions))])}

    def _draw(self, rows: int, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(_STREAM + seed)
        return torch.randperm(rows, generator=generator)[:_ROWS]

    @torch.no_grad()
    def _mean(self, rows: TensorDictBase) -> float:
        device = next(self._model.parameters()).device
        rows = rows.to(device)
        return float(self._model.likelihood(rows, rows[ACTION]).mean())
