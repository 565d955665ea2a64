"""A recipe file and its overrides -> a frozen `Recipe`, or one error that names every mistake."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from awac_tr.algorithms.registry import ALGORITHMS
from awac_tr.errors import RecipeError
from awac_tr.recipes.algorithm import algorithm_name, misplaced_key, moved, preset_keys, refuse_algorithm
from awac_tr.recipes.build import build, fields_of, get_path, section_of, unknown_key, without
from awac_tr.recipes.checks import conflicts, is_unused
from awac_tr.recipes.compose import Composition, compose, merged
from awac_tr.recipes.resolved import LoadedRecipe, Source, resolved_yaml
from awac_tr.recipes.schema import Recipe, recipe_model
from awac_tr.recipes.yaml_text import KeyPath, Problem, dotted, dump_value, parse_setting, problems_error

__all__ = ["LoadedRecipe", "Source", "load_recipe", "recipe_from_dict", "resolved_yaml"]

_log = logging.getLogger(__name__)

# Stand-ins for required keys that are missing or wrong, so that the remaining keys can still be checked together.
_STAND_INS: dict[KeyPath, Any] = {("name",): "unnamed", ("env", "id"): "unknown", ("data", "datasets"): ["unknown"]}


@dataclass
class _Draft:
    """Data under construction: what is wrong so far, and which paths were overridden.

    ``model`` is the recipe of the algorithm that the data names; ``preset`` what its preset fills in.
    """

    data: dict[str, Any]
    parts: Composition = field(default_factory=Composition)
    overridden: set[KeyPath] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    model: type[Recipe] = Recipe
    preset: dict[str, Any] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """Where the key, or else the section around it, was written."""
        while path and path not in self.overridden and path not in self.parts.places:
            path = path[:-1]
        return "(override)" if path in self.overridden else self.parts.places.get(path, "")


def load_recipe(ref: str | Path, overrides: Sequence[str] = (), *, method: str | Path | None = None) -> LoadedRecipe:
    """Read a recipe file strictly.

    Args:
        ref: path of a YAML file, or the name of a shipped recipe (see `library.find_recipe`).
        overrides: ``key=value`` each, split at the first ``=``; the key dotted and known, the value YAML.
        method: name or file of a method, in place of the recipe's algorithm, see :func:`.compose.compose`.

    Returns:
        The recipe and where its values came from.

    Raises:
        RecipeError: with all mistakes of file and overrides together.

    >>> loaded = load_recipe("door", ["algorithm.temperature=1", "seed=3"])
    >>> loaded.recipe.algorithm.temperature, loaded.recipe.seed, loaded.sources["seed"]
    (1.0, 3, 'override')
    >>> load_recipe("door", method="iql").recipe.algorithm.name
    'iql'
    """
    parts, path = compose(ref, method)
    draft = _Draft(merged({}, *(keys for _, keys in parts.above)), parts, problems=list(parts.problems))
    recipe = _finish(draft, overrides, f"recipe {ref}")
    return LoadedRecipe(recipe, _sources(draft), path)


def recipe_from_dict(data: Mapping[str, Any]) -> Recipe:
    """Build a recipe from nested dicts of plain values, as strictly as from a file.

    Raises:
        RecipeError: with all mistakes together.

    >>> recipe_from_dict({"name": "a", "env": {"id": "door-binary-v0"}, "data": {"datasets": ["door-demos"]}}).seed
    0
    """
    try:
        plain = json.loads(json.dumps(data))
    except (TypeError, ValueError) as error:
        raise RecipeError(f"a recipe holds plain values only (text, numbers, true, false, null): {error}") from error
    return _finish(_Draft(plain), (), "recipe")


def _apply(draft: _Draft, overrides: Sequence[str]) -> None:
    """Set ``key=value`` each; a key the schema does not have, or a value that is no YAML, becomes a problem."""
    settings: list[tuple[KeyPath, Any]] = []
    for text in overrides:
        setting = parse_setting(text, "(override)", "key=value, for example seed=3")
        if isinstance(setting, Problem):
            draft.problems.append(setting)
        else:
            settings.append(setting)
    for path, value in settings:
        # first of all, since it decides which keys there are
        if path == ("algorithm", "name") and value in ALGORITHMS and value != algorithm_name(draft.data):
            _log.info("algorithm.name=%s: the recipe's keys of another algorithm are left out", value)
            draft.data["algorithm"] = {"name": value}
    _choose_model(draft)
    for path, value in settings:
        refusal = _refuse_key(draft.model, path) or refuse_algorithm(path, value)
        if refusal:
            draft.problems.append(Problem(dotted(path), "(override)", refusal))
            continue
        if path in draft.overridden:
            _log.info("%s is overridden more than once; the last value, %s, counts", dotted(path), dump_value(value))
        draft.data = _with(draft.data, path, value)
        draft.overridden.add(path)


def _choose_model(draft: _Draft) -> None:
    """By the algorithm's name; keys as earlier versions had them, and unknown names, become problems."""
    data, problems = moved(draft.data, draft.where)
    draft.data, draft.problems = data, draft.problems + problems
    draft.model = recipe_model(algorithm_name(data))


def _refuse_key(recipe: type[Recipe], path: KeyPath) -> str:
    model: Any = recipe
    algorithm: str = recipe.model_fields["algorithm"].default.name
    for depth, name in enumerate(path, start=1):
        if name not in model.model_fields:
            return misplaced_key(path, algorithm) or unknown_key(recipe, path[:depth])
        inner = section_of(model.model_fields[name])
        if inner is None:
            is_mapping = path[:depth] == ("env", "kwargs")
            return "" if depth == len(path) or is_mapping else f"unknown key; {dotted(path[:depth])} has no keys inside"
        model = inner
    return f"is a section; set its keys one by one: {dotted(path)}.{next(iter(model.model_fields))}=..."


def _with(data: Mapping[str, Any], path: KeyPath, value: Any) -> dict[str, Any]:
    """A copy of nested dicts with one value set."""
    changed = dict(data)
    if len(path) == 1:
        changed[path[0]] = value
    else:
        inner = changed.get(path[0])
        changed[path[0]] = _with(inner if isinstance(inner, Mapping) else {}, path[1:], value)
    return changed


def _finish(draft: _Draft, overrides: Sequence[str], title: str) -> Recipe:
    _apply(draft, overrides)
    draft.preset = preset_keys(draft.data)
    data = merged(draft.data, draft.preset, *(keys for _, keys in draft.parts.below))
    recipe, problems, wrong = build(draft.model, data, draft.where)
    whole = recipe or _sound_part(draft.model, data, wrong)
    if whole is not None:
        bad_keys = {dotted(path) for path in wrong}
        for keys, text in conflicts(whole):
            if not bad_keys & set(keys):
                problems.append(Problem(keys[0], draft.where(tuple(keys[0].split("."))), text))
        problems += [
            Problem(dotted(path), "(override)", f"has no effect with algorithm {whole.algorithm.name}")
            for path in sorted(draft.overridden)
            if is_unused(whole, path)
        ]
    problems = draft.problems + problems
    if recipe is None or problems:
        raise problems_error(title, problems, "See all keys with: awac-tr recipes show door --resolved")
    return recipe


def _sound_part(model: type[Recipe], data: Mapping[str, Any], wrong: set[KeyPath]) -> Recipe | None:
    """The recipe without its wrong keys, to find the contradictions among the others."""
    pruned: Mapping[str, Any] = without(data, wrong)
    for path, value in _STAND_INS.items():
        if path in wrong or path[:1] in wrong:
            pruned = _with(pruned, path, value)
    return build(model, pruned, lambda _: "")[0]


def _sources(draft: _Draft) -> dict[str, Source]:
    """Of each key where its value came from; an override is in the data, and in none of its parts."""
    absent = object()
    layers: list[tuple[Source, Mapping[str, Any]]] = [*draft.parts.above, ("preset", draft.preset), *draft.parts.below]
    sources: dict[str, Source] = {}
    for path, _ in fields_of(draft.model):
        if any(changed[: len(path)] == path for changed in draft.overridden):
            sources[dotted(path)] = "override"
        else:
            found = (source for source, keys in layers if get_path(keys, path, absent) is not absent)
            sources[dotted(path)] = next(found, "default")
    return sources
