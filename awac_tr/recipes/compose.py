"""A recipe put together from a task's and a method's: ``base: door`` and ``method: iql`` in a file, or ``--method``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from awac_tr.errors import RecipeError
from awac_tr.recipes.algorithm import algorithm_name
from awac_tr.recipes.library import find_method, find_recipe
from awac_tr.recipes.yaml_text import KeyPath, Problem, dotted, problems_error, read_mapping

__all__ = ["Composition", "compose", "merged"]

_REFERENCES: Final = ("base", "method")
_OF_A_TASK: Final = ("name", "env", "data", *_REFERENCES)
"""Keys that a method does not say."""

Keys = dict[str, Any]


@dataclass
class Composition:
    """Nested recipe keys by where they are from; of those that say the same key, the first one counts.

    Attributes:
        above: before the preset of the algorithm, as (``recipe``, ``method`` or ``base``, keys).
        below: after it.
        places: key -> where it was written, for messages.
        problems: mistakes of the YAML.
    """

    above: list[tuple[Literal["recipe", "method", "base"], Keys]] = field(default_factory=list)
    below: list[tuple[Literal["base"], Keys]] = field(default_factory=list)
    places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, path: Path, title: str) -> Keys:
        """The keys of a further file, which count more than those read before."""
        parsed = read_mapping(path, title)
        of = f" of {path.name}" if self.places else ""
        self.problems += [Problem(each.key, f"{each.where}{of}", each.text) for each in parsed.problems]
        self.places = {key: f"line {line}{of}" for key, line in parsed.lines.items()} | self.places
        return dict(parsed.data)


def compose(ref: str | Path, method: str | Path | None = None) -> tuple[Composition, Path]:
    """Read a recipe with the task and the method that it names.

    Order: the task's keys, the preset of the method's algorithm, the method's keys, those of the file. The task's keys
    of another algorithm are left out. Where there is no method, the file adds to its base before any preset.

    Args:
        ref: a recipe, see :func:`awac_tr.recipes.library.find_recipe`.
        method: name or file of a method, in place of the file's own: the whole file is the task then.

    Returns:
        The parts, and the file.

    Raises:
        RecipeError: a file that is named is missing, or is none of its kind.
    """
    path, made = find_recipe(ref), Composition()
    keys = made.read(path, f"recipe {ref}")
    own = {key: value for key, value in keys.items() if key not in _REFERENCES}
    base, named = (_reference(keys, key, ref) for key in _REFERENCES)
    task = {} if base is None else _base(made, base, path)
    if method is None and named is None:
        made.above = [("recipe", own), ("base", {**task, "name": path.stem})] if base else [("recipe", own)]
        return made, path
    if method is not None:
        # what the file says of an algorithm is of its own method's
        kept = {key: value for key, value in own.items() if named is None or key != "algorithm"}
        own, task = {}, merged(kept, task)
    found = _beside(named, path) if method is None and named is not None else str(method)
    said = _method(made, find_method(found))
    if "name" not in own:
        said["name"] = f"{task.get('name', path.stem)}-{Path(found).stem}" if task else path.stem
    made.above = [("recipe", own), ("method", said)]
    made.below = [("base", _for_algorithm(task, algorithm_name(merged(own, said))))]
    return made, path


def _reference(keys: Keys, key: str, ref: str | Path) -> str | None:
    value = keys.get(key)
    if value is not None and not isinstance(value, str):
        raise problems_error(f"recipe {ref}", [Problem(key, "", f"a name or a path is expected, not {value!r}")])
    return value


def _beside(named: str, path: Path) -> str:
    """A file beside the recipe that names it, or the name as it is."""
    near = path.parent / named
    return str(near) if near.is_file() else named


def _base(made: Composition, named: str, path: Path) -> Keys:
    keys = made.read(find_recipe(_beside(named, path)), f"base {named}")
    further = [key for key in _REFERENCES if key in keys]
    if further:
        raise RecipeError(f"{named}, the base of {path}, has a {further[0]} itself", "name a recipe that has none.")
    return keys


def _method(made: Composition, path: Path) -> Keys:
    title = f"method {path.stem}"
    keys = made.read(path, title)
    wrong = [Problem(key, made.places.get((key,), ""), "belongs to a task, not to a method") for key in _OF_A_TASK]
    wrong = [problem for problem in wrong if problem.key in keys]
    section = keys.get("algorithm")
    if not isinstance(section, Mapping) or "name" not in section:
        wrong.append(Problem(dotted(("algorithm", "name")), "", "is missing: a method says which algorithm it is"))
    if wrong:
        raise problems_error(title, wrong)
    return keys


def _for_algorithm(task: Keys, name: str) -> Keys:
    """A task's keys without what it says of its algorithm, or of another algorithm's preset."""
    section = task.get("algorithm")
    if not isinstance(section, Mapping):
        return task
    if algorithm_name(task) != name:
        return {key: value for key, value in task.items() if key != "algorithm"}
    return {**task, "algorithm": {key: value for key, value in section.items() if key != "preset"}}


def merged(first: Mapping[str, Any], *others: Mapping[str, Any]) -> Keys:
    """Nested keys; of those that several say, the first one counts.

    >>> merged({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}, "d": 4})
    {'a': {'b': 1, 'c': 3}, 'd': 4}
    """
    whole = dict(first)
    for other in others:
        for key, value in other.items():
            said = whole.get(key)
            if isinstance(value, Mapping) and (said is None or isinstance(said, Mapping)):
                whole[key] = merged(said or {}, value)
            else:
                whole.setdefault(key, value)
    return whole
