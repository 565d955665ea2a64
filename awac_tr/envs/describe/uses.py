"""Which recipes and dataset cards are about which environment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from awac_tr.recipes.cards import load_card
from awac_tr.recipes.library import cards, recipes
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import EnvSection

__all__ = ["Uses", "envs_of_recipes", "uses_of"]


@dataclass(frozen=True)
class Uses:
    """What comes with awac-tr for an environment.

    Attributes:
        recipes: names of recipes, sorted.
        cards: names of dataset cards, sorted.
        kwargs: what recipes make it with, by the recipe's name; those that give nothing left out.
    """

    recipes: tuple[str, ...]
    cards: tuple[str, ...]
    kwargs: dict[str, dict[str, Any]]


@cache
def envs_of_recipes() -> dict[str, EnvSection]:
    """The environment of each recipe that comes with awac-tr, by the recipe's name."""
    return {name: load_recipe(path).recipe.env for name, path in recipes().items()}


def uses_of(env_id: str) -> Uses:
    """What comes with awac-tr for an environment.

    Args:
        env_id: registered id, without a module.

    >>> uses_of("relocate-binary-v0").recipes
    ('relocate', 'relocate-authors')
    """
    mine = {name: env for name, env in envs_of_recipes().items() if env.name == env_id}
    kwargs = {name: env.kwargs for name, env in mine.items() if env.kwargs}
    return Uses(tuple(mine), tuple(name for name in cards() if _env_of(name).name == env_id), kwargs)


def _env_of(card: str) -> EnvSection:
    return EnvSection.of(load_card(card).env)
