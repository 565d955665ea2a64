"""Learning curves of runs, old and new: ``plot_runs``, which a run also draws of itself when it ends."""

from __future__ import annotations

from awac_tr.training.curves import plot_runs

__all__ = ["plot_runs"]
