"""The keys of ABM, and its presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from awac_tr.algorithms.config import AdvantageConfig, Conflict
from awac_tr.recipes.base import Positive

__all__ = ["ABMConfig"]

Weighting = Literal["exp", "softmax", "indicator", "sign"]

_AUTHORS: Final[dict[str, Any]] = {
    "algorithm": {"prior_weighting": "softmax", "weighting": "softmax", "weight_max": None, "prior_value": "prior"},
    "qvalue": {"hidden_sizes": [256, 256]},
    "offline": {"batch_size": 128},
}


class ABMConfig(AdvantageConfig):
    """A prior that imitates the data's better actions, and a policy that imitates the better ones of the prior's."""

    name: Literal["abm"] = "abm"
    preset: Annotated[
        Literal["paper", "authors", "authors-mujoco"],
        Field(description="paper: A.4 of the AWAC paper; authors, authors-mujoco: its scripts for hand and locomotion"),
    ] = "paper"
    weighting: Annotated[
        Weighting,
        Field(description="of the prior's actions: exp(A/lambda), batch size times its softmax, 1[A > 0], or signs"),
    ] = "exp"
    prior_weighting: Annotated[Weighting, Field(description="of the data's actions, by which the prior learns")] = (
        "indicator"
    )
    prior_value: Annotated[
        Literal["policy", "prior"],
        Field(description="whose action the V(s) of the prior's weights is taken at: A.4, or the authors' code"),
    ] = "policy"
    weight_max: Annotated[Positive | None, Field(description="cap on the weight; null: none")] = 20.0

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "authors": {
            **_AUTHORS,
            "algorithm": {
                **_AUTHORS["algorithm"],
                "advantage_max": 2.0,
                "value_estimate": "mean",
                "value_bounds": [None, 0.0],
                "ignore_terminals": True,
            },
        },
        "authors-mujoco": {
            **_AUTHORS,
            "algorithm": {**_AUTHORS["algorithm"], "temperature": 1.0},
            "policy": {"std": "dependent"},
        },
    }

    def conflicts(self) -> Iterator[Conflict]:
        """Those of advantages, and caps that no weight can reach."""
        yield from super().conflicts()
        if {self.weighting, self.prior_weighting} <= {"indicator", "sign"} and self.advantage_max is not None:
            text = "a cap on advantages has no effect on indicators and signs; leave it out"
            yield ("algorithm.advantage_max", "algorithm.weighting"), text
