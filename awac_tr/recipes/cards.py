"""Dataset cards: one YAML file says how a dataset is made, from what, under which licence, and what to expect of it.

What a card says under ``options`` are settings of the dataset's source, one model a source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from awac_tr.algorithms.bc.config import CloningKeys
from awac_tr.recipes.base import HiddenSizes, NonNegative, PositiveCount, Section, Seed
from awac_tr.recipes.build import build
from awac_tr.recipes.environment import EnvSection
from awac_tr.recipes.library import find_card
from awac_tr.recipes.schema import PolicySection
from awac_tr.recipes.yaml_text import ParsedYaml, Problem, problems_error, read_mapping

__all__ = [
    "OPTIONS", "CloneFit", "ClonePolicySection", "CloneSettings", "DatasetCard", "ImportOptions", "NoOptions",
    "OUOptions", "PolicyOptions", "load_card", "read_card",
]  # fmt: skip


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


class DatasetCard(Section):
    """How a dataset is made."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="also the file's name, NAME.hdf5")]
    env: Annotated[str | EnvSection, Field(description="Gymnasium id, or keys as in a recipe's section env")]
    env_kwargs: dict[str, Any] = Field(default_factory=dict, description="arguments of gymnasium.make, beside an id")
    source: Annotated[
        Literal["demos", "bc", "ou", "random", "policy", "import"],
        Field(description="demonstrator, clone of the parent, noise, uniform actions, policy file, file of others"),
    ]
    n: Annotated[PositiveCount | None, Field(description="episodes; null only for imports")] = None
    seed: Seed = 0
    parent: Annotated[str | None, Field(description="bc: the dataset that is cloned, a card's name")] = None
    policy: Annotated[str | None, Field(description="policy: path of the policy file (.pt, .npz or .zip)")] = None
    action: Annotated[Literal["mean", "sample"], Field(description="act by the mean of the policy, or sample it")] = (
        "mean"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="settings of the source, as written")
    licence: str
    description: str = ""
    hash: Annotated[str | None, Field(description="content hash the finished file must have; null: not fixed")] = None
    expected: dict[str, Any] = Field(default_factory=dict, description="statistics of a good copy, for comparison")

    @property
    def section(self) -> EnvSection:
        """The environment in one piece.

        >>> load_card("door-bc").section.id
        'door-binary-v0'
        """
        return EnvSection(id=self.env, kwargs=self.env_kwargs) if isinstance(self.env, str) else self.env

    @property
    def settings(self) -> Section:
        """``options`` completed by their defaults: the model that :data:`OPTIONS` has for the source.

        >>> load_card("door-bc").settings.bc.patience
        10
        """
        return OPTIONS[self.source].model_validate_json(json.dumps(self.options))


def load_card(name: str) -> DatasetCard:
    """The card of a dataset by its name.

    Raises:
        RecipeError: there is none of this name, or it has mistakes (all named together).

    >>> load_card("door-bc").parent
    'door-demos'
    """
    return read_card(find_card(name))


def read_card(path: Path) -> DatasetCard:
    """The card in a file.

    Raises:
        RecipeError: with all mistakes together.
    """
    title = f"dataset card {path}"
    parsed = read_mapping(path, title)
    data, source = parsed.data, parsed.data.get("source")
    card, problems, _ = build(DatasetCard, data, parsed.where)
    within = _problems_in("env", data.get("env"), EnvSection, parsed)
    problems = [one for one in problems if one.key != "env" or not within]
    problems = parsed.problems + problems + within
    if isinstance(source, str) and source in OPTIONS:
        problems += _problems_in("options", data.get("options", {}), OPTIONS[source], parsed)
    if card is not None:
        problems += [Problem(key, parsed.where((key,)), text) for key, text in _conflicts(card, path.stem)]
    if card is None or problems:
        raise problems_error(title, problems)
    return card


def _problems_in(key: str, written: object, model: type[Section], parsed: ParsedYaml) -> list[Problem]:
    """Of a section that is described key by key, each with its line."""
    return build(model, written, parsed.where, (key,))[1] if isinstance(written, dict) else []


def _conflicts(card: DatasetCard, stem: str) -> Iterator[tuple[str, str]]:
    if card.name != stem:
        yield "name", f"must be {stem!r}, the name of its file, got {card.name!r}"
    if card.n is None and card.source != "import":
        yield "n", "missing; expected the number of episodes"
    for key, source in (("parent", "bc"), ("policy", "policy")):
        if card.source == source and getattr(card, key) is None:
            yield key, f"missing; source {source} needs it"
        if card.source != source and getattr(card, key) is not None:
            yield key, f"has no effect with source {card.source}; only {source} uses it"
    if card.env_kwargs and not isinstance(card.env, str):
        yield "env_kwargs", "has no effect beside a section env; write env.kwargs"
    if card.parent == card.name:
        yield "parent", "a dataset cannot be its own parent"
