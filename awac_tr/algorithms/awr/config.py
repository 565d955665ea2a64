"""The keys of AWR, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from awac_tr.algorithms.config import AlgorithmConfig, Needs
from awac_tr.recipes.base import Positive, PositiveCount

__all__ = ["AWRConfig"]

_SETTINGS: Final[dict[str, Any]] = {
    "policy": {
        "hidden_sizes": [128, 64],
        "squash_mean": False,
        # the deviation is not trained: it stays in the middle, exp(-0.916291) = 0.4
        "log_std_min": -1.916291,
        "log_std_max": 0.083709,
    },
    "qvalue": {"hidden_sizes": [128, 64]},
    "offline": {"updates": 55_300, "batch_size": 256},
    "online": {"steps_per_round": 2048, "updates_per_step": 0.5859375, "batch_size": 256},
}
"""xbpeng/awr; 55,300 updates are 1200 for every 2048 of the 94,378 rows of the hand tasks' data."""


class AWRConfig(AlgorithmConfig):
    """V by TD(lambda) over the whole buffer, then actions weighted by whitened advantages; round by round."""

    name: Literal["awr"] = "awr"
    preset: Annotated[
        Literal["paper", "original-ant", "original-walker"],
        Field(description="paper: xbpeng/awr's defaults; original-ant, original-walker: its settings of those tasks"),
    ] = "paper"
    gamma: Annotated[float, Field(ge=0, lt=1)] = 0.99
    lmbda: Annotated[float, Field(ge=0, le=1, description="lambda of TD(lambda)")] = 0.95
    temperature: Annotated[
        Positive, Field(description="divides whitened advantages, so it is not comparable with AWAC's")
    ] = 1.0
    weight_max: Annotated[Positive | None, Field(description="cap on the weight; null: none")] = 20.0
    value_updates: Annotated[
        PositiveCount, Field(description="value_updates : policy_updates are the shares of the updates of a round")
    ] = 200
    policy_updates: PositiveCount = 1000
    policy_lr: Positive = 5e-5
    value_lr: Positive = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1, description="of both SGDs")] = 0.9
    normalizer_rows: Annotated[
        PositiveCount, Field(description="rows in the buffer up to which its statistics standardise observations")
    ] = 300_000

    reads: ClassVar[frozenset[str]] = frozenset({"qvalue"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": _SETTINGS,
        "original-ant": {
            **_SETTINGS,
            "policy": {**_SETTINGS["policy"], "log_std_min": -2.609438, "log_std_max": -0.609438},
        },
        "original-walker": {**_SETTINGS, "algorithm": {"policy_lr": 2.5e-5}},
    }

    def needs(self) -> Needs:
        """All episodes at the beginning of a round."""
        return Needs(offline="buffer", online="buffer")

    def discount(self) -> float:
        """Gamma."""
        return self.gamma
