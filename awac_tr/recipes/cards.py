"""Dataset cards: one YAML file says how a dataset is made, from what, under which licence, and what to expect of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from awac_tr.recipes.base import PositiveCount, Section, Seed
from awac_tr.recipes.build import build
from awac_tr.recipes.environment import EnvSection
from awac_tr.recipes.library import find_card
from awac_tr.recipes.loader import mapping_of, read_yaml_file
from awac_tr.recipes.options import OPTIONS
from awac_tr.recipes.problems import Problem, problems_error
from awac_tr.recipes.yaml_text import KeyPath, ParsedYaml, dotted

__all__ = ["DatasetCard", "load_card", "read_card"]


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
        """``options`` completed by their defaults: the model that `options.OPTIONS` has for the source.

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
    parsed, title = read_yaml_file(path), f"dataset card {path}"
    data = mapping_of(parsed, title)
    card, problems, _ = build(DatasetCard, data, lambda key: _where(parsed, key))
    within = _section_problems(parsed, data)
    problems = [one for one in problems if one.key != "env" or not within]
    problems = parsed.problems + problems + within + _option_problems(parsed, data)
    if card is not None:
        problems += [Problem(key, _where(parsed, (key,)), text) for key, text in _conflicts(card, path.stem)]
    if card is None or problems:
        raise problems_error(title, problems)
    return card


def _where(parsed: ParsedYaml, key: KeyPath) -> str:
    while key and key not in parsed.lines:
        key = key[:-1]
    return f"line {parsed.lines[key]}" if key else ""


def _option_problems(parsed: ParsedYaml, data: dict[str, Any]) -> list[Problem]:
    source, written = data.get("source"), data.get("options", {})
    if not isinstance(source, str) or source not in OPTIONS or not isinstance(written, dict):
        return []
    inside: KeyPath = ("options",)
    _, problems, _ = build(OPTIONS[source], written, lambda key: _where(parsed, inside + key))
    return [Problem(dotted((*inside, problem.key)), problem.where, problem.text) for problem in problems]


def _section_problems(parsed: ParsedYaml, data: dict[str, Any]) -> list[Problem]:
    """Of an environment that is described key by key, each with its line."""
    written = data.get("env")
    if not isinstance(written, dict):
        return []
    _, problems, _ = build(EnvSection, written, lambda key: _where(parsed, ("env", *key)))
    return [Problem(dotted(("env", problem.key)), problem.where, problem.text) for problem in problems]


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
