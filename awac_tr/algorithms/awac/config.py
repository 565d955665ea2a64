"""The keys of AWAC, and its presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from awac_tr.algorithms.config import AdvantageConfig, Conflict
from awac_tr.recipes.base import Count, Positive

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
    partition_samples: Annotated[
        Count, Field(description="actions of the behaviour model for Z(s) of Eq. 16; 0: without Z(s) (A.3)")
    ] = 0
    target_kl: Annotated[
        Positive | None,
        Field(description="lambda rises while KL(pi || behaviour model) is above it, from temperature; null: fixed"),
    ] = None

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

    def models_behaviour(self) -> bool:
        """As set."""
        return self.behaviour_model

    def conflicts(self) -> Iterator[Conflict]:
        """Those of the advantages, and what needs the behaviour model and has none."""
        yield from super().conflicts()
        for key in ("partition_samples", "target_kl"):
            if getattr(self, key) and not self.behaviour_model:
                text = f"{getattr(self, key):g} needs the model that algorithm.behaviour_model fits; set it to true"
                yield (f"algorithm.{key}", "algorithm.behaviour_model"), text
