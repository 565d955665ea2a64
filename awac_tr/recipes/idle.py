"""Keys that were set and that the recipe's algorithm never looks at."""

from __future__ import annotations

import logging
from typing import Final

from awac_tr.recipes.build import get_path
from awac_tr.recipes.resolved import LoadedRecipe
from awac_tr.recipes.schema import AWACSection, BCSection, HindsightSection, QValueSection, Recipe

__all__ = ["idle_keys", "say_idle_keys"]

_log = logging.getLogger(__name__)

_EARLY_STOPPING: Final = tuple(f"bc.{key}" for key in ("validation_fraction", "patience", "check_every"))
_ALL_UPDATES: Final = "in awac-tr train, which makes all of offline.updates (collect --source bc does stop early)"

_IDLE: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "awac": {"with algorithm: awac": ("bc.",)},
    "bc": {"with algorithm: bc": ("awac.", "qvalue.", "hindsight.", "compile"), _ALL_UPDATES: _EARLY_STOPPING},
}
"""Algorithm -> where keys have no effect -> beginnings of the keys that training does not look at."""

_USUAL: Final = {
    "awac": AWACSection().model_dump(),
    "bc": BCSection().model_dump(),
    "qvalue": QValueSection().model_dump(),
    "hindsight": HindsightSection().model_dump(),
    "compile": Recipe.model_fields["compile"].default,
}


def idle_keys(loaded: LoadedRecipe) -> dict[str, list[str]]:
    """Keys that were set to something, and have no effect on training.

    A key counts where it was overridden, or where the recipe gives it another value than the default: a run's own
    recipe writes every key down.

    Returns:
        Where they have no effect, in words -> dotted keys in the order of the schema.

    >>> from awac_tr.recipes.loader import load_recipe
    >>> idle_keys(load_recipe("door", ["bc.lr=0.01"]))
    {'with algorithm: awac': ['bc.lr']}
    """
    plain = loaded.recipe.model_dump()

    def is_set(key: str) -> bool:
        path = tuple(key.split("."))
        return loaded.sources[key] == "override" or get_path(plain, path) != get_path(_USUAL, path)

    found = {
        where: [key for key in loaded.sources if key.startswith(starts) and is_set(key)]
        for where, starts in _IDLE[loaded.recipe.algorithm].items()
    }
    return {where: keys for where, keys in found.items() if keys}


def say_idle_keys(loaded: LoadedRecipe) -> None:
    """Warn of :func:`idle_keys`; a note will do for those that a file sets for the other algorithm."""
    for where, keys in idle_keys(loaded).items():
        meant = where == _ALL_UPDATES or any(loaded.sources[key] == "override" for key in keys)
        verb = "has" if len(keys) == 1 else "have"
        _log.log(logging.WARNING if meant else logging.INFO, "%s %s no effect %s.", ", ".join(keys), verb, where)
