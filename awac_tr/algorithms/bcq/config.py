"""The keys of BCQ, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from awac_tr.algorithms.config import CriticConfig
from awac_tr.recipes.base import HiddenSizes, NonNegative, Positive, PositiveCount

__all__ = ["BCQConfig"]


class BCQConfig(CriticConfig):
    """The best of the data's own actions by a CVAE, each perturbed a little; there is no policy beside that."""

    name: Literal["bcq"] = "bcq"
    preset: Annotated[
        Literal["paper", "original"],
        Field(description="paper: sizes and batches of the AWAC paper's scripts; original: sfujim/BCQ"),
    ] = "paper"
    next_samples: Annotated[PositiveCount, Field(description="actions at the next state; the best counts")] = 10
    acting_samples: Annotated[PositiveCount, Field(description="actions of which the best by Q_1 is taken")] = 100
    phi: Annotated[NonNegative, Field(description="largest perturbation, in units of half the action range")] = 0.05
    minimum_weight: Annotated[
        float, Field(ge=0, le=1, description="of the smallest next value; the largest has the rest")
    ] = 0.75
    perturbation_hidden_sizes: HiddenSizes = (400, 300)
    cvae_hidden_sizes: HiddenSizes = (750, 750)
    cvae_lr: Positive = 1e-3
    policy_lr: Annotated[Positive, Field(description="of the perturbation")] = 1e-3
    policy_weight_decay: Annotated[NonNegative, Field(description="of the perturbation")] = 0.0
    qvalue_lr: Positive = 1e-3

    ignores: ClassVar[frozenset[str]] = frozenset({"policy"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "qvalue": {"hidden_sizes": [256, 256]},
            "offline": {"batch_size": 128},
            "online": {"batch_size": 256},
        },
        "original": {
            "qvalue": {"hidden_sizes": [400, 300]},
            "offline": {"batch_size": 100},
            "online": {"batch_size": 100},
        },
    }
