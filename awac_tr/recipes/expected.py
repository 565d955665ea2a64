"""What a key expects, said in words, from the types of the schema; and what was found, shown as it was written."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from awac_tr.recipes.environment import DOTTED_NAME, WrapperSection
from awac_tr.recipes.yaml_text import dump_value, parse_yaml
from awac_tr.utils.suggest import closest

__all__ = ["advice", "expected", "shown"]

_NOUNS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    WrapperSection: "a mapping of name and kwargs",
}
_PATTERNS = {DOTTED_NAME: "written module:name"}
_LONGEST = 60
_BOUNDS = (("gt", "above"), ("ge", "of at least"), ("lt", "below"), ("le", "of at most"))


def expected(field: FieldInfo) -> str:
    """What the values of a field may be.

    >>> from awac_tr.algorithms.awac.config import AWACConfig
    >>> expected(AWACConfig.model_fields["temperature"])
    'a number above 0'
    >>> expected(AWACConfig.model_fields["weighting"])
    'exp or softmax'
    """
    return _describe(field.annotation, list(field.metadata))


def shown(value: Any) -> str:
    """A found value as it would stand in YAML, text in quotes, cut to 60 characters.

    >>> shown("hot"), shown(None), shown([1, 2])
    ("'hot'", 'null', '[1, 2]')
    """
    text = repr(value) if isinstance(value, str) else dump_value(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def advice(field: FieldInfo, value: Any) -> str:
    """How to mend a refused value, where that can be told; else empty."""
    kinds = set(_leaves(field.annotation))
    if isinstance(value, str):
        words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
        match = closest(value, words)
        if match:
            return f"; did you mean {match!r}?"
        if {int, float} & kinds and isinstance(parse_yaml(value).data, int | float):
            return "; write it without quotes"
        if bool in kinds and value.lower() in ("yes", "no", "on", "off"):
            return f"; write {'true' if value.lower() in ('yes', 'on') else 'false'}"
    if isinstance(value, float) and int in kinds and value.is_integer():
        return f"; write {int(value)}"
    return ""


def _leaves(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _leaves(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [leaf for part in get_args(annotation) for leaf in _leaves(part)]
    return [annotation]


def _describe(annotation: Any, metadata: list[Any]) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [m for item in args[1:] for m in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return _describe(args[0], metadata + inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(part, metadata) for part in args)
    if origin is Literal:
        return _join([str(word) for word in args])
    if origin is tuple:
        return _describe_tuple(args, metadata)
    if origin is dict or annotation is dict:
        return "a mapping (key: value)"
    return _describe_scalar(annotation, metadata)


def _describe_tuple(args: tuple[Any, ...], metadata: list[Any]) -> str:
    if args[-1] is Ellipsis:
        least = next((m.min_length for m in metadata if hasattr(m, "min_length")), 0)
        kind = "a list of at least one item" if least else "a list"
        return f"{kind}, each {_describe(args[0], [])}"
    parts = [_describe(part, []) for part in args]
    each = f"each {parts[0]}" if len(set(parts)) == 1 else ", ".join(parts)
    return f"a list of {len(parts)} items, {each}"


def _describe_scalar(annotation: Any, metadata: list[Any]) -> str:
    noun = _NOUNS.get(annotation, getattr(annotation, "__name__", str(annotation)))
    bounds = []
    for item in metadata:
        bounds += [f"{word} {getattr(item, name)}" for name, word in _BOUNDS if getattr(item, name, None) is not None]
        pattern = getattr(item, "pattern", None)
        bounds += [_PATTERNS.get(pattern, f"that matches {pattern}")] if pattern else []
    return " ".join([noun, " and ".join(bounds)]).strip()


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
