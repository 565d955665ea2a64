"""The verb ``bench``: what this machine makes of a recipe, and which settings make it fastest."""

from __future__ import annotations

from awac_tr.bench.report import Report
from awac_tr.bench.run import Options, bench

__all__ = ["Options", "Report", "bench"]
