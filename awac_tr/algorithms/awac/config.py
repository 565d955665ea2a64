"""The keys of AWAC, and its presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from awac_tr.algorithms.config import BoundedCriticConfig, Conflict
from awac_tr.recipes.base import Positive, PositiveCount

__all__ = ["AWACConfig"]

_AUTHORS: Final[dict[str, Any]] = {
    "algorithm": {"weighting": "softmax"},
    "qvalue": {"hidden_sizes": [256, 256]},
    "offline": {"batch_size": 128},
}
"""What the authors' scripts share (rail-berkeley/rlkit at ac45a9d)."""


class AWACConfig(BoundedCriticConfig):
    """Equations 3 and 10 of the paper, and what its text leaves open."""

    name: Literal["awac"] = "awac"
    preset: Annotated[
        Literal["paper", "authors", "authors-mujoco"],
        Field(description="paper: Table 1; authors, authors-mujoco: their scripts for the hand and for locomotion"),
    ] = "paper"
    temperature: Annotated[Positive, Field(description="lambda of Eq. 10: divides the advantage")] = 0.3
    weighting: Annotated[
        Literal["exp", "softmax"],
        Field(description="exp(A/lambda) (paper), or batch size times its softmax over the batch (authors' code)"),
    ] = "exp"
    advantage_max: Annotated[float | None, Field(description="cap on the advantage before weighting; null: none")] = (
        None
    )
    weight_max: Annotated[Positive | None, Field(description="cap on the weight; null: none")] = None
    value_estimate: Annotated[
        Literal["sample", "mean"],
        Field(description="V(s): mean of min Q over value_samples actions, or min Q at the mean action"),
    ] = "sample"
    value_samples: PositiveCount = 1
    ignore_terminals: Annotated[
        bool, Field(description="bootstrap through terminal states (the authors' hand tasks)")
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

    def conflicts(self) -> Iterator[Conflict]:
        """Those of the critics, and samples that nobody draws."""
        yield from super().conflicts()
        if self.value_estimate == "mean" and self.value_samples > 1:
            text = f"{self.value_samples} has no effect with algorithm.value_estimate mean; leave it out or use sample"
            yield ("algorithm.value_samples", "algorithm.value_estimate"), text
