"""Settings of a dataset's source, one model a source; cards give them under ``options``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from awac_tr.recipes.schema import BCSection, NonNegative, PolicySection, PositiveCount, Section

__all__ = ["OPTIONS", "BCOptions", "ImportOptions", "NoOptions", "OUOptions"]


class NoOptions(Section):
    """The source needs no settings."""


class BCOptions(Section):
    """The clone whose rollouts make the dataset."""

    policy: PolicySection = PolicySection()
    bc: BCSection = BCSection()
    max_updates: Annotated[PositiveCount, Field(description="cloning ends here, if not before")] = 10_000
    batch_size: PositiveCount = 256


class OUOptions(Section):
    """Ornstein-Uhlenbeck noise as the action."""

    theta: Annotated[NonNegative, Field(description="pull to zero per step")] = 0.15
    sigma: Annotated[NonNegative, Field(description="standard deviation of the noise added per step")] = 0.3


class ImportOptions(Section):
    """A file of others, which the user supplies."""

    format: Annotated[
        Literal["hand_dapg"], Field(description="hand_dapg: the pickled demonstrations of that repository")
    ]


OPTIONS: dict[str, type[Section]] = {
    "demos": NoOptions,
    "bc": BCOptions,
    "ou": OUOptions,
    "random": NoOptions,
    "policy": NoOptions,
    "import": ImportOptions,
}
