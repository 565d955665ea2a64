"""The keys of MPO as the AWAC paper has it, and its presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from awac_tr.algorithms.config import BoundedCriticConfig, Conflict
from awac_tr.recipes.base import Positive, PositiveCount

__all__ = ["MPOConfig"]

_AUTHORS: Final[dict[str, Any]] = {
    "algorithm": {
        "samples": 1,
        "weighting": "batch",
        "advantage_max": 2.0,
        "value_estimate": "mean",
        "value_bounds": [None, 0.0],
        "ignore_terminals": True,
    },
    "qvalue": {"hidden_sizes": [256, 256]},
    "offline": {"batch_size": 128},
}


class MPOConfig(BoundedCriticConfig):
    """The policy imitates the better ones of its own actions: no data action is imitated."""

    name: Literal["mpo"] = "mpo"
    preset: Annotated[
        Literal["paper", "authors", "authors-flawed"],
        Field(description="paper: Eq. 21; authors: their settings; authors-flawed: with the gradient that they kept"),
    ] = "paper"
    temperature: Annotated[Positive, Field(description="beta of Eq. 21: divides Q, in units of return")] = 0.3
    target_kl: Annotated[
        Positive | None,
        Field(description="the temperature is learnt, so that weights are this far from uniform; null: it is fixed"),
    ] = None
    temperature_lr: Annotated[Positive, Field(description="of a temperature that is learnt")] = 1e-2
    samples: Annotated[PositiveCount, Field(description="N actions of the policy a state")] = 20
    weighting: Annotated[
        Literal["samples", "batch"],
        Field(description="softmax of Q over the samples of a state, or of the advantage over the batch (authors)"),
    ] = "samples"
    detach: Annotated[
        bool, Field(description="false: keep the samples' gradient, a fault of the authors' code: the mean cannot move")
    ] = True
    advantage_max: Annotated[
        float | None, Field(description="cap on the advantage, for weighting batch; null: none")
    ] = None
    value_estimate: Annotated[
        Literal["sample", "mean"],
        Field(description="V(s) of weighting batch: min Q at a sampled action, or at the mean action"),
    ] = "sample"
    ignore_terminals: Annotated[
        bool, Field(description="bootstrap through terminal states (the authors' hand tasks)")
    ] = False

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "authors": _AUTHORS,
        "authors-flawed": {**_AUTHORS, "algorithm": {**_AUTHORS["algorithm"], "detach": False}},
    }

    def conflicts(self) -> Iterator[Conflict]:
        """Those of the critics, and keys that the weighting does not read."""
        yield from super().conflicts()
        if self.target_kl is None and self.temperature_lr != type(self).model_fields["temperature_lr"].default:
            yield ("algorithm.temperature_lr", "algorithm.target_kl"), "has no effect without algorithm.target_kl"
        if self.weighting == "batch":
            if self.target_kl is not None:
                text = f"{self.target_kl:g} has no effect with algorithm.weighting batch; leave it out or use samples"
                yield ("algorithm.target_kl", "algorithm.weighting"), text
            return
        if self.samples == 1:
            text = "the softmax over a single sample is 1: no action is better; write at least 2, or weighting batch"
            yield ("algorithm.samples", "algorithm.weighting"), text
        for key, usual in (("advantage_max", None), ("value_estimate", "sample")):
            if getattr(self, key) != usual:
                text = "has no effect with algorithm.weighting samples; leave it out or use batch"
                yield (f"algorithm.{key}", "algorithm.weighting"), text
