"""A loaded recipe, and the YAML that says all of it: every key, its value, and where the value came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from awac_tr.recipes.schema import Recipe
from awac_tr.recipes.yaml_text import dump_value

__all__ = ["LoadedRecipe", "Source", "resolved_yaml"]

Source = Literal["default", "recipe", "override"]


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and where each of its values came from.

    Attributes:
        recipe: the experiment.
        sources: dotted key -> ``default``, ``recipe`` or ``override``, for every key that holds a value.
        path: the file it was read from; None when it was built from a dict.
    """

    recipe: Recipe
    sources: Mapping[str, Source]
    path: Path | None = None


def resolved_yaml(loaded: LoadedRecipe) -> str:
    r"""The whole recipe as YAML that loads to an equal `Recipe`; behind each value a comment tells its source.

    >>> from awac_tr.recipes.loader import load_recipe
    >>> print(*resolved_yaml(load_recipe("door", ["seed=3"])).splitlines()[1:4], sep="\n")
    name: door                                           # recipe
    algorithm: awac                                      # recipe
    seed: 3                                              # override
    """
    origin = f" from {dump_value(str(loaded.path))}" if loaded.path else ""
    lines = [f"# Recipe {loaded.recipe.name}, resolved{origin}; behind each value where it came from."]
    return "\n".join(lines + _section_lines(loaded.recipe, loaded.sources, "", "")) + "\n"


def _section_lines(section: BaseModel, sources: Mapping[str, Source], prefix: str, indent: str) -> list[str]:
    lines = []
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            lines.append(f"{indent}{name}:")
            lines += _section_lines(value, sources, f"{prefix}{name}.", indent + "  ")
        else:
            source = sources.get(prefix + name, "default")
            lines.append(f"{indent}{name}: {dump_value(value)}".ljust(52) + f" # {source}")
    return lines
