"""The keys of BEAR, and its presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from awac_tr.algorithms.config import Conflict, CriticConfig
from awac_tr.recipes.base import Count, HiddenSizes, NonNegative, Positive, PositiveCount

__all__ = ["BEARConfig"]

_SIZES: Final[dict[str, Any]] = {
    "policy": {
        "distribution": "tanh_normal",
        "hidden_sizes": [256, 256],
        "std": "dependent",
        "log_std_min": -20.0,
        "log_std_max": 2.0,
        "log_std_map": "clamp",
    },
    "qvalue": {"hidden_sizes": [256, 256]},
    "offline": {"batch_size": 256},
    "online": {"batch_size": 256},
}


class BEARConfig(CriticConfig):
    """An actor that climbs its critics within reach of the data, by a sampled discrepancy to a CVAE of it."""

    name: Literal["bear"] = "bear"
    preset: Annotated[
        Literal["paper", "loose", "authors"],
        Field(
            description="paper: the AWAC paper's scripts, one threshold; loose: another online; authors: another from"
            " update 20,000 on, as those scripts have it"
        ),
    ] = "paper"
    kernel: Annotated[Literal["laplacian", "gaussian"], Field(description="of the discrepancy")] = "laplacian"
    bandwidth: Annotated[Positive, Field(description="sigma: exp(-distance / (2 sigma))")] = 50.0
    samples: Annotated[PositiveCount, Field(description="actions of policy and model for the discrepancy")] = 10
    next_samples: Annotated[PositiveCount, Field(description="actions at the next state; the best counts")] = 10
    acting_samples: Annotated[PositiveCount, Field(description="actions of which the best by Q_1 is taken")] = 10
    threshold: Annotated[Positive, Field(description="epsilon: the discrepancy that the multiplier holds")] = 0.05
    late_threshold: Annotated[
        Positive | None, Field(description="epsilon later on, see late_from; null: as before")
    ] = None
    late_from: Annotated[
        Literal["online"] | Count | None, Field(description="from the first online step, or from this update on")
    ] = None
    warm_start: Annotated[Count, Field(description="updates without the critics in the actor's loss")] = 20_000
    minimum_weight: Annotated[
        float, Field(ge=0, le=1, description="of the smallest next value; the largest has the rest")
    ] = 0.75
    multiplier_lr: Positive = 1e-3
    cvae_hidden_sizes: HiddenSizes = (750, 750)
    cvae_lr: Positive = 3e-4
    policy_weight_decay: NonNegative = 0.0

    distributions: ClassVar[tuple[str, ...]] = ("tanh_normal",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": _SIZES,
        "loose": {**_SIZES, "algorithm": {"late_threshold": 0.15, "late_from": "online"}},
        "authors": {**_SIZES, "algorithm": {"late_threshold": 0.15, "late_from": 20_000}},
    }

    def conflicts(self) -> Iterator[Conflict]:
        """A later threshold without its beginning, or the reverse."""
        if (self.late_threshold is None) != (self.late_from is None):
            have, lack = ("late_threshold", "late_from") if self.late_from is None else ("late_from", "late_threshold")
            yield (f"algorithm.{have}", f"algorithm.{lack}"), f"has no effect without algorithm.{lack}"
