"""The keys of behaviour cloning."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from awac_tr.algorithms.config import AlgorithmConfig, Needs
from awac_tr.recipes.base import NonNegative, Positive, Section

__all__ = ["BCConfig", "CloningKeys"]


class CloningKeys(Section):
    """Maximum likelihood, or squared error; also of the clones that ``collect --source bc`` makes."""

    loss: Annotated[
        Literal["nll", "mse"], Field(description="negative log-likelihood, or squared error of the mean")
    ] = "nll"
    lr: Positive = 1e-3
    weight_decay: NonNegative = 1e-4


class BCConfig(AlgorithmConfig, CloningKeys):
    """Behaviour cloning of all datasets of the recipe; all of ``offline.updates`` are made."""

    name: Literal["bc"] = "bc"
    preset: Literal["paper"] = "paper"

    reads: ClassVar[frozenset[str]] = frozenset({"compile"})

    def needs(self) -> Needs:
        """No online phase."""
        return Needs(online=None)
