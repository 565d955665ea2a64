"""The keys of DAPG, and its preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from awac_tr.algorithms.config import AlgorithmConfig, Needs
from awac_tr.recipes.base import NonNegative, Positive, PositiveCount

__all__ = ["DAPGConfig"]


class DAPGConfig(AlgorithmConfig):
    """Cloning of demonstrations; then a natural policy gradient a round, with the demonstrations' decaying share."""

    name: Literal["dapg"] = "dapg"
    preset: Annotated[Literal["paper"], Field(description="paper: hand_dapg's defaults, horizon 200")] = "paper"
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.995
    gae_lambda: Annotated[float, Field(ge=0, le=1, description="lambda of GAE")] = 0.97
    step_size: Annotated[Positive, Field(description="twice the KL of a step")] = 0.05
    cg_iterations: PositiveCount = 10
    damping: Annotated[NonNegative, Field(description="added to the Fisher matrix's diagonal")] = 1e-4
    demonstration_weight: Annotated[
        NonNegative, Field(description="lambda_0: of demonstrations in the first step; advantages have deviation 1")
    ] = 0.01
    demonstration_decay: Annotated[float, Field(gt=0, le=1, description="lambda_1: of that weight, a step")] = 0.95
    log_std_floor: Annotated[
        float, Field(description="deviations of half the action range are at least exp of this, after every step")
    ] = -3.0
    cloning_lr: Positive = 1e-3
    baseline_lr: Positive = 1e-3
    baseline_weight_decay: NonNegative = 1e-3
    baseline_batch_size: PositiveCount = 64

    reads: ClassVar[frozenset[str]] = frozenset({"qvalue"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "policy": {
                "hidden_sizes": [32, 32],
                "activation": "tanh",
                "squash_mean": False,
                "log_std_min": -8.0,  # free but for the floor
                "log_std_max": 2.0,
            },
            "qvalue": {"hidden_sizes": [128, 128]},
            "offline": {"updates": 780, "batch_size": 32},  # 5 epochs of 25 demonstrations of 200 steps
            "online": {"steps_per_round": 40_000, "updates_per_step": 0.031275},
        }
    }

    def needs(self) -> Needs:
        """Demonstrations, and what was just collected."""
        return Needs(online="round", demonstrations=True)

    def discount(self) -> float:
        """Gamma."""
        return self.gamma
