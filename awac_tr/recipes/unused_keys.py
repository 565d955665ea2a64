"""Keys that were set and that the recipe's algorithm never looks at."""

from __future__ import annotations

import logging

from awac_tr.recipes.build import fields_of, get_path
from awac_tr.recipes.resolved import LoadedRecipe
from awac_tr.recipes.schema import Recipe
from awac_tr.recipes.yaml_text import KeyPath, dotted

__all__ = ["is_unused", "say_unused_keys", "unused_keys"]

_log = logging.getLogger(__name__)


def is_unused(recipe: Recipe, path: KeyPath) -> bool:
    """Whether a key has no effect on training with the recipe's algorithm."""
    config, key = recipe.algorithm, dotted(path)
    names = [name for name in config.OPTIONAL if key == name or key.startswith(f"{name}.")]
    return bool(names) and not config.reads.intersection(names)


def unused_keys(loaded: LoadedRecipe) -> list[str]:
    """Dotted keys, in the order of the schema, that have no effect and hold another value than the default.

    A key that an override sets is not among them: that is an error already when the recipe is loaded.

    >>> from awac_tr.recipes.loader import load_recipe
    >>> unused_keys(load_recipe("door"))
    []
    """
    recipe = loaded.recipe
    plain, usual = recipe.model_dump(), _defaults(type(recipe))
    unused = (path for path in usual if is_unused(recipe, path))
    return [dotted(path) for path in unused if get_path(plain, path) != usual[path]]


def say_unused_keys(loaded: LoadedRecipe) -> None:
    """Note :func:`unused_keys`, which a recipe has that was written for another algorithm."""
    keys = unused_keys(loaded)
    if keys:
        verb = "has" if len(keys) == 1 else "have"
        _log.info("%s %s no effect with algorithm %s.", ", ".join(keys), verb, loaded.recipe.algorithm.name)


def _defaults(model: type[Recipe]) -> dict[KeyPath, object]:
    return {path: field.get_default(call_default_factory=True) for path, field in fields_of(model)}
