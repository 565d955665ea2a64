"""Dataset cards: one YAML file says how a dataset is made, from what, under which licence, and what to expect of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from awac_tr.recipes.build import build
from awac_tr.recipes.closest import did_you_mean
from awac_tr.recipes.library import find_card
from awac_tr.recipes.loader import read_yaml_file
from awac_tr.recipes.problems import Problem, problems_error
from awac_tr.recipes.schema import Count, PositiveCount, Section
from awac_tr.recipes.yaml_text import KeyPath

__all__ = ["OPTIONS", "DatasetCard", "load_card", "read_card"]

OPTIONS: dict[str, tuple[str, ...]] = {
    "demos": (),
    "bc": ("policy", "bc", "max_updates", "batch_size"),
    "ou": ("theta", "sigma"),
    "random": (),
    "policy": (),
    "import": ("format",),
}
"""What ``options`` may hold, by source: of ``bc`` the recipe sections of the clone and its budget."""


class DatasetCard(Section):
    """How a dataset is made."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="also the file's name, NAME.hdf5")]
    env: Annotated[str, Field(description="Gymnasium id")]
    env_kwargs: dict[str, Any] = {}
    source: Annotated[
        Literal["demos", "bc", "ou", "random", "policy", "import"],
        Field(description="packaged demonstrator, clone of the parent, noise, uniform actions, a policy file, a file of others"),
    ]
    n: Annotated[PositiveCount | None, Field(description="episodes; null only for imports, which bring their own number")] = None
    seed: Count = 0
    parent: Annotated[str | None, Field(description="bc: the dataset that is cloned, a card's name")] = None
    policy: Annotated[str | None, Field(description="policy: path of the policy file (.npz or .pt)")] = None
    action: Annotated[Literal["mean", "sample"], Field(description="act by the mean of the policy, or sample it")] = "mean"
    options: Annotated[dict[str, Any], Field(description="further settings of the source, see OPTIONS")] = {}
    licence: str
    description: str = ""
    hash: Annotated[str | None, Field(description="content hash the finished file must have; null: not fixed")] = None
    expected: Annotated[dict[str, Any], Field(description="statistics of a good copy, for comparison")] = {}


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
    parsed = read_yaml_file(path)
    title = f"dataset card {path}"
    if not isinstance(parsed.data, dict):
        raise problems_error(title, parsed.problems or [Problem("", "", "expected a mapping (key: value) at the top")])

    def where(key: KeyPath) -> str:
        return f"line {parsed.lines[key]}" if key in parsed.lines else ""

    card, problems, _ = build(DatasetCard, parsed.data, where)
    problems = parsed.problems + problems
    if card is not None:
        problems += [Problem(key, where((key,)), text) for key, text in _conflicts(card, path.stem)]
    if card is None or problems:
        raise problems_error(title, problems)
    return card


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
    if card.parent == card.name:
        yield "parent", "a dataset cannot be its own parent"
    if card.source == "import" and "format" not in card.options:
        yield "options", "missing key 'format'; source import needs it, for example {format: hand_dapg}"
    for option in card.options:
        if option not in OPTIONS[card.source]:
            known = ", ".join(OPTIONS[card.source]) or "none"
            text = f"unknown option {option!r} of source {card.source}{did_you_mean(option, OPTIONS[card.source])}"
            yield "options", f"{text}; known: {known}"
