"""The keys of SAC with a cloning term, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from awac_tr.algorithms.config import EntropyConfig, Needs
from awac_tr.recipes.base import Positive, PositiveCount

__all__ = ["SACBCConfig"]


class SACBCConfig(EntropyConfig):
    """Soft actor-critic whose actor also imitates a second batch, of demonstrations, at every update."""

    name: Literal["sac_bc"] = "sac_bc"
    preset: Annotated[
        Literal["paper", "authors"], Field(description="paper: alpha tuned; authors: their scripts for the hand")
    ] = "paper"
    cloning_weight: Annotated[Positive, Field(description="factor of the cloning term in the actor's loss")] = 1.0
    cloning: Annotated[
        Literal["nll", "mse"], Field(description="negative log-likelihood, or squared error of the mean")
    ] = "nll"
    demonstration_batch_size: Annotated[
        PositiveCount, Field(description="rows of demonstrations in the cloning term; at most as many as in a batch")
    ] = 128

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "authors": {
            "algorithm": {"alpha": 0.0, "tune_alpha": False, "value_bounds": [None, 0.0], "ignore_terminals": True},
            "qvalue": {"hidden_sizes": [256, 256]},
            "offline": {"batch_size": 128},
        },
    }

    def needs(self) -> Needs:
        """Demonstrations, offline and online."""
        return Needs(demonstrations=True)
