"""What every section of a recipe is made of: its base class, and numbers with limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Count", "HiddenSizes", "NonNegative", "Positive", "PositiveCount", "Section", "Seed"]

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
HiddenSizes = Annotated[tuple[PositiveCount, ...], Field(min_length=1)]


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, no silent conversion of strings to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)
