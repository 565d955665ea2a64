"""The keys of IQL, and its preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from awac_tr.algorithms.config import CriticConfig
from awac_tr.recipes.base import NonNegative, Positive

__all__ = ["IQLConfig"]


class IQLConfig(CriticConfig):
    """Implicit Q-learning: an expectile of Q instead of a maximum, and advantage-weighted cloning."""

    name: Literal["iql"] = "iql"
    preset: Annotated[
        Literal["original"], Field(description="original: ikostrikov/implicit_q_learning, locomotion")
    ] = "original"
    expectile: Annotated[float, Field(gt=0, lt=1, description="eta: 0.5 is the mean, near 1 the maximum")] = 0.7
    inverse_temperature: Annotated[
        Positive, Field(description="multiplies the advantage (AWAC's temperature divides it)")
    ] = 3.0
    policy_weight_decay: NonNegative = 0.0
    value_lr: Positive = 3e-4

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "original": {
            "policy": {"hidden_sizes": [256, 256], "log_std_min": -5.0, "log_std_max": 2.0},
            "qvalue": {"hidden_sizes": [256, 256]},
            "offline": {"batch_size": 256},
            "online": {"batch_size": 256},
        }
    }
