"""Runs that are stopped after so many updates, and what they learnt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from awac_tr.policies.checkpoint import read_checkpoint
from awac_tr.training.loop import Loop


def weights(run: Path) -> dict[str, torch.Tensor]:
    loss = read_checkpoint(run / "checkpoints" / "last.pt", kind="train")["learner"]["loss"]
    return {name: value for name, value in loss.items() if isinstance(value, torch.Tensor)}


def stop_after(monkeypatch: pytest.MonkeyPatch, *, updates: int) -> None:
    """As Ctrl-C does, when so many updates have been made."""
    update = Loop._update

    def counted(self: Loop, count: int) -> None:
        update(self, min(count, max(1, updates - self.progress.update)))
        if self.progress.update >= updates:
            self.stop.signum = 2

    monkeypatch.setattr(Loop, "_update", counted)
