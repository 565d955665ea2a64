"""Plain data into a frozen, typed model, with every mistake found at once."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from awac_tr.recipes.expected import advice, expected, shown
from awac_tr.recipes.yaml_text import KeyPath, Problem, dotted
from awac_tr.utils.suggest import closest

__all__ = ["FORMER_NAMES", "build", "fields_of", "get_path", "section_of", "unknown_key", "without"]

FORMER_NAMES: Final = {"lmbda": "temperature", "lambda": "temperature"}
"""Keys as version 0.1 or the paper has them -> as they are."""

Model = TypeVar("Model", bound=BaseModel)
Where = Callable[[KeyPath], str]

_MAX_SUGGESTIONS: Final = 100
"""Mistakes of which each is held against all keys that there are, a millisecond each."""


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model a field holds, or None for a plain value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def fields_of(model: type[BaseModel], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """All keys of a model that hold values (not sections), in order."""
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            yield (*prefix, name), field
        else:
            yield from fields_of(section, (*prefix, name))


def get_path(data: Any, path: KeyPath, default: Any = None) -> Any:
    """The value at a path of nested dicts, or ``default``."""
    for key in path:
        if not isinstance(data, Mapping) or key not in data:
            return default
        data = data[key]
    return data


def unknown_key(model: type[BaseModel], path: KeyPath) -> str:
    """The message for a key that a model does not have, with the closest it has, in this section or another.

    >>> from awac_tr.recipes.schema import recipe_model
    >>> unknown_key(recipe_model("awac"), ("tau",))
    "unknown key; did you mean 'algorithm.tau'?"
    """
    section = _model_at(model, path[:-1])
    word = FORMER_NAMES.get(path[-1], path[-1])
    match = closest(word, section.model_fields)
    if match is None:
        elsewhere = {candidate[-1]: dotted(candidate) for candidate, _ in reversed(list(fields_of(model)))}
        name = closest(word, elsewhere)
        match = elsewhere[name] if name else None
    if match:
        return f"unknown key; did you mean {match!r}?"
    return f"unknown key; known here: {', '.join(section.model_fields)}"


def build(
    model: type[Model], data: Mapping[str, Any], where: Where, inside: KeyPath = ()
) -> tuple[Model | None, list[Problem], set[KeyPath]]:
    """Validate plain data strictly.

    Args:
        model: what to build.
        data: nested dicts of JSON values; null for a section means that none of its keys are set.
        where: tells for a key's path where it was written.
        inside: path of the section, in a file that holds more than it; ``where`` and the problems begin with it.

    Returns:
        The model, or None when it cannot be built; the problems, in order of the schema; the paths in ``data`` that
        they concern.
    """
    filled = _fill_sections(model, data)
    try:
        # JSON mode: lists fill tuples, while strings still do not become numbers.
        return model.model_validate_json(json.dumps(filled)), [], set()
    except ValidationError as error:
        texts: dict[KeyPath, str] = {}
        for item in error.errors(include_url=False, include_context=False):
            path, text = _explain(model, filled, item["type"], item["loc"], suggest=len(texts) < _MAX_SUGGESTIONS)
            if item["type"] == "value_error":  # a rule of the model's own, in its own words
                text = f"{item['msg'].removeprefix('Value error, ')}, got {shown(get_path(filled, path))}"
            texts.setdefault(path, text)
    problems = [Problem(dotted(inside + path), where(inside + path), text) for path, text in texts.items()]
    return None, problems, set(texts)


def without(data: Mapping[str, Any], paths: set[KeyPath]) -> dict[str, Any]:
    """A deep copy of nested dicts without the keys at these paths."""
    pruned: dict[str, Any] = copy.deepcopy(dict(data))
    for path in paths:
        parent = get_path(pruned, path[:-1])
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
    return pruned


def _fill_sections(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(data)
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            continue
        value = filled.pop(name, None)
        if value is None and field.is_required():
            value = {}  # so that its missing keys are named one by one
        if value is not None:
            filled[name] = _fill_sections(section, value) if isinstance(value, Mapping) else value
    return filled


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    for name in path:
        section = section_of(model.model_fields[name])
        if section is None:
            return model
        model = section
    return model


def _explain(
    model: type[BaseModel], data: Mapping[str, Any], kind: str, loc: tuple[int | str, ...], *, suggest: bool
) -> tuple[KeyPath, str]:
    """The key a pydantic error is about, union branches and list positions folded into it; and what to say."""
    path: KeyPath = ()
    section: type[BaseModel] = model
    field: FieldInfo | None = None
    for step in loc:
        path = (*path, str(step))
        field = section.model_fields.get(str(step))
        if field is None:
            return path, unknown_key(model, path) if suggest else "unknown key"
        inner = section_of(field)
        if inner is None:
            break
        section = inner
    value = get_path(data, path)
    if field is None or section_of(field) is not None:
        return path, f"expected a section with keys {', '.join(section.model_fields)}; got {shown(value)}"
    if kind == "missing":
        return path, f"missing; expected {expected(field)}"
    return path, f"expected {expected(field)}, got {shown(value)}{advice(field, value)}"
