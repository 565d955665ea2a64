"""The keys of BRAC, and its presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from awac_tr.algorithms.config import BoundedCriticConfig, Conflict, EntropyConfig
from awac_tr.recipes.base import NonNegative

__all__ = ["BRACConfig"]


class BRACConfig(EntropyConfig):
    """An actor that climbs its critics and pays for leaving a Gaussian model of the data, which goes on learning."""

    name: Literal["brac"] = "brac"
    preset: Annotated[
        Literal["paper", "authors-mujoco"],
        Field(description="paper: A.4 of the AWAC paper; authors-mujoco: its scripts, as they are meant"),
    ] = "paper"
    penalty: Annotated[
        Literal["kl", "reward"],
        Field(description="kl: KL to the model in the actor's loss; reward: SAC on r + weight * log pi_b(a|s)"),
    ] = "kl"
    penalty_weight: Annotated[
        NonNegative, Field(description="factor of the penalty; the AWAC paper's scripts sweep .01, .1, .3")
    ] = 0.1
    value_penalty: Annotated[bool, Field(description="kl: lower next values by the penalty as well (BRAC-v)")] = False

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "authors-mujoco": {
            "algorithm": {"penalty": "reward", "penalty_weight": 1.0},
            "policy": {"std": "dependent"},
            "qvalue": {"hidden_sizes": [256, 256]},
            "offline": {"updates": 0, "batch_size": 128},
        },
    }

    def models_behaviour(self) -> bool:
        """It does."""
        return True

    def conflicts(self) -> Iterator[Conflict]:
        """Those of the penalty that is chosen, and keys that it does not read."""
        if self.penalty == "reward":
            yield from super().conflicts()
            if self.value_penalty:
                text = "true has no effect with algorithm.penalty reward; leave it out"
                yield ("algorithm.value_penalty", "algorithm.penalty"), text
            return
        yield from BoundedCriticConfig.conflicts(self)
        for key, usual in (("alpha", 1.0), ("tune_alpha", True), ("target_entropy", None)):
            if getattr(self, key) != usual:
                text = "has no effect with algorithm.penalty kl, which holds the entropy; leave it out"
                yield (f"algorithm.{key}", "algorithm.penalty"), text
