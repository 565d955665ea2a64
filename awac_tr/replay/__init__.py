"""Play a dataset's actions in the installed simulator: does the one belong to the other?"""

from __future__ import annotations

from awac_tr.replay.compare import EpisodeReplay
from awac_tr.replay.run import ReplayReport, replay

__all__ = ["EpisodeReplay", "ReplayReport", "replay"]
