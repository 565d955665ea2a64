"""The keys of AWAC, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from awac_tr.algorithms.config import AdvantageConfig

__all__ = ["AWACConfig"]

_AUTHORS: Final[dict[str, Any]] = {
    "algorithm": {"weighting": "softmax"},
    "qvalue": {"hidden_sizes": [256, 256]},
    "offline": {"batch_size": 128},
}
"""What the authors' scripts share (rail-berkeley/rlkit at ac45a9d)."""


class AWACConfig(AdvantageConfig):
    """Equations 3 and 10 of the paper, and what its text leaves open."""

    name: Literal["awac"] = "awac"
    preset: Annotated[
        Literal["paper", "authors", "authors-mujoco"],
        Field(description="paper: Table 1; authors, authors-mujoco: their scripts for the hand and for locomotion"),
    ] = "paper"
    weighting: Annotated[
        Literal["exp", "softmax"],
        Field(description="exp(A/lambda) (paper), or batch size times its softmax over the batch (authors' code)"),
    ] = "exp"

    behaviour_model: Annotated[
        bool,
        Field(description="also fit a Gaussian to the batches, a step each, and log its likelihood (Figure 2.4)"),
    ] = False

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "authors": {
            **_AUTHORS,
            "algorithm": {
                **_AUTHORS["algorithm"],
                "temperature": 0.5,
                "advantage_max": 0.5,
                "value_estimate": "mean",
                # their clamp sits on the critic's output; here on targets and advantages, where it kills no critic
                "value_bounds": [None, 0.0],
                "ignore_terminals": True,
            },
            "policy": {"hidden_sizes": [256, 256]},
        },
        "authors-mujoco": {
            **_AUTHORS,
            "algorithm": {**_AUTHORS["algorithm"], "temperature": 2.0},
            "offline": {**_AUTHORS["offline"], "updates": 50_000},
        },
    }
