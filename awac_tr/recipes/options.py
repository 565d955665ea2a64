"""Settings of a dataset's source, one model a source; cards give them under ``options``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from awac_tr.algorithms.bc.config import CloningKeys
from awac_tr.recipes.base import HiddenSizes, NonNegative, PositiveCount, Section
from awac_tr.recipes.schema import PolicySection

__all__ = [
    "OPTIONS",
    "CloneFit",
    "ClonePolicySection",
    "CloneSettings",
    "ImportOptions",
    "NoOptions",
    "OUOptions",
    "PolicyOptions",
]


class NoOptions(Section):
    """The source needs no settings."""


class ClonePolicySection(PolicySection):
    """The policy of a clone: smaller than the learner's, by default."""

    hidden_sizes: HiddenSizes = (256, 256)


class CloneFit(CloningKeys):
    """How a clone is fitted: it stops on held-out episodes."""

    validation_fraction: Annotated[
        float, Field(ge=0, lt=1, description="share of whole episodes held out; 0: no early stopping")
    ] = 0.1
    patience: Annotated[PositiveCount, Field(description="held-out checks without improvement before stopping")] = 10
    check_every: Annotated[PositiveCount, Field(description="updates between held-out checks")] = 100


class CloneSettings(Section):
    """The clone whose rollouts make the dataset."""

    policy: ClonePolicySection = ClonePolicySection()
    bc: CloneFit = CloneFit()
    max_updates: Annotated[PositiveCount, Field(description="gradient steps at most")] = 20_000
    batch_size: PositiveCount = 256
    observation_noise: Annotated[
        NonNegative,
        Field(description="deviation of noise on observations in training, in units of each entry's deviation"),
    ] = 0.1


class OUOptions(Section):
    """Ornstein-Uhlenbeck noise as the action."""

    theta: Annotated[NonNegative, Field(description="pull to zero per step")] = 0.15
    sigma: Annotated[NonNegative, Field(description="standard deviation of the noise added per step")] = 0.3


class PolicyOptions(Section):
    """A policy, packaged or given, that explores beyond its own noise, and what is written down of it."""

    action_noise: Annotated[
        NonNegative, Field(description="deviation of Gaussian noise added to the actions, in their units")
    ] = 0.0
    label: Annotated[
        Literal["executed", "clean"],
        Field(description="actions written down: those executed, or those without action_noise (for cloning only)"),
    ] = "executed"


class ImportOptions(Section):
    """A file of others, which the user supplies."""

    format: Annotated[
        Literal["hand_dapg"], Field(description="hand_dapg: the pickled demonstrations of that repository")
    ]


OPTIONS: dict[str, type[Section]] = {
    "demos": PolicyOptions,
    "bc": CloneSettings,
    "ou": OUOptions,
    "random": NoOptions,
    "policy": PolicyOptions,
    "import": ImportOptions,
}
