"""Recipes and cards checked as far as can be told without running them: keys, and names of the datasets they need."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from awac_tr.errors import RecipeError
from awac_tr.recipes.cards import DatasetCard, read_card
from awac_tr.recipes.library import dataset_folder, find_any, find_card, read_text
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.yaml_text import Problem, parse_yaml, problems_error

__all__ = ["kind_of", "verify"]


def kind_of(path: Path) -> Literal["recipe", "card", "method"]:
    """A file whose top holds ``source`` and no ``data`` is a card, one with an algorithm and no task a method.

    Anything else is taken for a recipe.

    Raises:
        RecipeError: the file cannot be read.
    """
    data = parse_yaml(read_text(path)).data
    keys = set(data) if isinstance(data, dict) else set()
    if "source" in keys and "data" not in keys:
        return "card"
    return "method" if "algorithm" in keys and not keys & {"name", "env", "data", "base"} else "recipe"


def verify(ref: str | Path) -> Path:
    """Check a recipe or a card and all cards it stands on, or a method with the task of ``door``.

    Args:
        ref: a path, or the name of a shipped recipe, method or card.

    Returns:
        The file that was checked.

    Raises:
        RecipeError: there is no such file, or it, or a card it needs, has mistakes.
    """
    path = find_any(ref)
    kind = kind_of(path)
    if kind == "card":
        _verify_parents(read_card(path))
    elif kind == "method":
        load_recipe("door", method=path)
    else:
        _verify_datasets(path)
    return path


def _verify_datasets(path: Path) -> None:
    recipe = load_recipe(path).recipe
    problems, sources = [], []
    for name in recipe.data.datasets:
        if _is_file_name(name):
            continue
        try:
            card = read_card(find_card(name))
        except RecipeError as error:
            problems.append(Problem("data.datasets", "", error.message))
            continue
        _verify_parents(card)
        sources.append(card.source)
        if card.section.name != recipe.env.name:
            text = f"{name} is of {card.section.id}, not of env.id {recipe.env.id}"
            problems.append(Problem("data.datasets", "", text))
    all_known = len(sources) == len(recipe.data.datasets)
    if recipe.policy.init_from == "clone" and all_known and "bc" not in sources:
        text = "clone, but none of data.datasets has source bc: there is no clone to start from"
        problems.append(Problem("policy.init_from", "", text))
    if problems:
        raise problems_error(f"recipe {path}", problems)


def _verify_parents(card: DatasetCard) -> None:
    seen = [card.name]
    while card.parent is not None and not _is_file_name(card.parent):
        if card.parent in seen:
            raise RecipeError(f"the parents of dataset {seen[0]} form a circle: {' -> '.join([*seen, card.parent])}")
        seen.append(card.parent)
        card = read_card(find_card(card.parent))


def _is_file_name(name: str) -> bool:
    """Files are looked at when they are loaded; a bare name may be one in the dataset folder that has no card."""
    path = Path(name)
    is_path = path.suffix in (".hdf5", ".h5") or len(path.parts) != 1
    return is_path or (dataset_folder() / f"{name}.hdf5").is_file()
