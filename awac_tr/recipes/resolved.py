"""A loaded recipe, and the YAML that says all of it: every key, its value, and where the value came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, cast

from pydantic import BaseModel

from awac_tr.recipes.schema import Recipe
from awac_tr.recipes.yaml_text import dump_value, parse_yaml

__all__ = ["LoadedRecipe", "Source", "resolved_yaml"]

Source = Literal["default", "base", "preset", "method", "recipe", "override"]

_SOURCE: Final = re.compile(r" # (default|base|preset|method|recipe|override)$")
_ORIGIN: Final = re.compile(r"# Recipe .*?, resolved from (.*); behind each value where it came from\.$", re.MULTILINE)


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and where each of its values came from.

    Attributes:
        recipe: the experiment.
        sources: dotted key -> its :data:`Source`, for every key that holds a value.
        path: the file it was read from; None when it was built from a dict.
    """

    recipe: Recipe
    sources: Mapping[str, Source]
    path: Path | None = None


def with_sources_of(before: str, loaded: LoadedRecipe) -> LoadedRecipe:
    """A recipe read from a resolved one: each value's source as it stood there, unless it is overridden now.

    Args:
        before: text of the resolved recipe.
        loaded: read from it.

    >>> from awac_tr.recipes.loader import load_recipe
    >>> first = load_recipe("door", ["seed=3"])
    >>> again = with_sources_of(resolved_yaml(first), load_recipe("door", ["online.steps=7"]))
    >>> [again.sources[key] for key in ("seed", "online.steps", "threads")]
    ['override', 'override', 'default']
    """
    lines = before.splitlines()
    written = {".".join(key): _SOURCE.search(lines[line - 1]) for key, line in parse_yaml(before).lines.items()}
    kept = {key: cast("Source", found[1]) for key, found in written.items() if found and key in loaded.sources}
    new = {key: source for key, source in loaded.sources.items() if source == "override"}
    origin = _ORIGIN.match(before)
    path = Path(str(parse_yaml(origin[1]).data)) if origin else loaded.path
    return replace(loaded, sources={**loaded.sources, **kept, **new}, path=path)


def resolved_yaml(loaded: LoadedRecipe) -> str:
    r"""The whole recipe as YAML that loads to an equal `Recipe`; behind each value a comment tells its source.

    >>> from awac_tr.recipes.loader import load_recipe
    >>> print(*resolved_yaml(load_recipe("door", ["seed=3"])).splitlines()[1:5], sep="\n")
    name: door                                           # recipe
    algorithm:
      name: awac                                         # recipe
      preset: paper                                      # default
    """
    origin = f" from {dump_value(str(loaded.path))}" if loaded.path else ""
    lines = [f"# Recipe {loaded.recipe.name}, resolved{origin}; behind each value where it came from."]
    return "\n".join(lines + _section_lines(loaded.recipe, loaded.sources, "", "")) + "\n"


def _section_lines(section: BaseModel, sources: Mapping[str, Source], prefix: str, indent: str) -> list[str]:
    lines, plain = [], section.model_dump()
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            lines.append(f"{indent}{name}:")
            lines += _section_lines(value, sources, f"{prefix}{name}.", indent + "  ")
        else:
            source = sources.get(prefix + name, "default")
            lines.append(f"{indent}{name}: {dump_value(plain[name])}".ljust(52) + f" # {source}")
    return lines
