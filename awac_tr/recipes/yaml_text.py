"""YAML as people mean it: read with line numbers, nothing guessed, nothing executed; and mistakes told together.

PyYAML follows YAML 1.1, where ``3e-4`` is text, ``off`` is false, ``010`` is eight and ``1:30`` is ninety. We resolve
plain scalars by the core schema of YAML 1.2 instead (numbers may hold ``_`` between digits), and build the values
ourselves from the composed nodes, so that no tag can construct anything but plain data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from awac_tr.errors import RecipeError
from awac_tr.recipes.library import read_text

__all__ = [
    "KeyPath",
    "ParsedYaml",
    "Problem",
    "dotted",
    "dump_value",
    "parse_setting",
    "parse_yaml",
    "problems_error",
    "read_mapping",
]

KeyPath = tuple[str, ...]

_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?[0-9]+(?:_[0-9]+)*$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Composes nodes only. Anchors are refused because a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse(event, "anchors and aliases are not understood here")
        if getattr(event, "tag", None) not in (None, "!"):
            self._refuse(event, "tags are not understood here; write plain values")
        return super().compose_node(parent, index)

    def _refuse(self, event: yaml.Event, text: str) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=text, problem_mark=event.start_mark)  # type: ignore[arg-type]


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as something else, so that any reader gets what we meant."""


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(_TAG + "null", _NULL, ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_TAG + "bool", _BOOL, list("tTfF"))
_Loader.add_implicit_resolver(_TAG + "int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "float", _FLOAT, list("-+0123456789."))
_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar(_TAG + "str", text, style='"' if "\n" in text else None)
)
_Dumper.add_implicit_resolver(_TAG + "float", _FLOAT, list("-+0123456789."))


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        key: dotted key, for example ``algorithm.tau``; empty when the file as a whole is meant.
        where: ``line 3``, ``(override)``, or empty where there is no line to point at.
        text: what was expected, what was found, the closest known name.
    """

    key: str
    where: str
    text: str


@dataclass
class ParsedYaml:
    """Plain data of a YAML text.

    Attributes:
        data: dict, list, str, int, float, bool or None, nested.
        lines: line (from 1) of every mapping key.
        problems: mistakes that did not keep us from reading on (duplicate keys, keys that are not text).
    """

    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, path: KeyPath) -> str:
        """``line 3``: where a key, or else the section around it, was written; empty for neither."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"line {self.lines[path]}" if path else ""


def problems_error(title: str, problems: Sequence[Problem], hint: str = "") -> RecipeError:
    """One error that lists all problems in aligned columns.

    Args:
        title: what has the problems, for example ``recipe recipes/door.yaml``.
        problems: at least one.
        hint: what to do next.

    >>> print(problems_error("recipe a.yaml", [Problem("seeed", "line 2", "unknown key")]))
    recipe a.yaml has 1 problem
      seeed  line 2  unknown key
    """
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    key_width = max(len(p.key) for p in problems)
    where_width = max(len(p.where) for p in problems)
    lines = []
    for problem in problems:
        cells = [problem.key.ljust(key_width)] if key_width else []
        cells += [problem.where.ljust(where_width)] if where_width else []
        lines.append("  ".join([*cells, problem.text]))
    return RecipeError(f"{title} has {count}", hint, details=lines)


def dotted(path: KeyPath) -> str:
    """``("algorithm", "tau")`` -> ``algorithm.tau``."""
    return ".".join(path)


def parse_yaml(text: str) -> ParsedYaml:
    """Read one YAML document.

    Args:
        text: the document; an empty one gives ``data=None``.

    Returns:
        The data and its lines. A syntax error gives ``data=None`` and one problem.

    >>> parse_yaml("lr: 3e-4").data
    {'lr': 0.0003}
    >>> parse_yaml("wandb: off").data
    {'wandb': 'off'}
    """
    parsed = ParsedYaml()
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        parsed.data = None if node is None else _value(node, (), parsed)
    except yaml.YAMLError as error:
        parsed.problems.append(_syntax_problem(error))
    except RecursionError:
        parsed.problems.append(Problem("", "", "nested too deeply"))
    except ValueError:  # the interpreter's bound on the digits of a whole number
        parsed.problems.append(Problem("", "", "holds a whole number of thousands of digits"))
    finally:
        if loader is not None:
            loader.dispose()
    return parsed


def parse_setting(text: str, where: str, example: str) -> tuple[KeyPath, Any] | Problem:
    """``key=value``, split at the first ``=``: the dotted key, and the value, which is YAML; or what is wrong with it.

    Args:
        text: the setting.
        where: stands in the problem, for example ``(override)``.
        example: what was expected, for the message.
    """
    key, sign, written = text.partition("=")
    if not sign or not key.strip():
        return Problem(text, where, f"expected {example}")
    value = parse_yaml(written)
    if value.problems:
        return Problem(key.strip(), where, value.problems[-1].text)
    return tuple(key.strip().split(".")), value.data


def read_mapping(path: Path, title: str) -> ParsedYaml:
    """Read a YAML file of the user's whose top is a mapping (``data`` is a dict); an empty file is an empty one.

    Raises:
        RecipeError: it cannot be opened, is no UTF-8 text, not readable as YAML, or something else than a mapping.
    """
    parsed = parse_yaml(read_text(path))
    if parsed.data is None and parsed.problems:
        raise problems_error(title, parsed.problems)
    if parsed.data is None:
        parsed.data = {}
    if not isinstance(parsed.data, dict):
        raise problems_error(title, [Problem("", "", "expected a mapping (key: value) at the top")])
    return parsed


def dump_value(value: Any) -> str:
    """One value in one line of YAML, read back the same by ``parse_yaml`` and by YAML 1.1 readers.

    >>> dump_value((256, 256)), dump_value("3e-4"), dump_value("off"), dump_value(None)
    ('[256, 256]', "'3e-4'", "'off'", 'null')
    """
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.dump(plain, Dumper=_Dumper, default_flow_style=True, width=2**31, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    text = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = f"line {mark.line + 1}" if mark is not None else ""
    return Problem("", where, f"not readable as YAML: {text}")


def _value(node: yaml.Node, path: KeyPath, parsed: ParsedYaml) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, parsed)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, path, parsed) for item in node.value]
    return _scalar(node.tag.removeprefix(_TAG), str(node.value))


def _mapping(node: yaml.MappingNode, path: KeyPath, parsed: ParsedYaml) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            parsed.problems.append(Problem(dotted(path), f"line {line}", "a key must be text"))
            continue
        here = (*path, key_node.value)
        if key_node.tag != _TAG + "str":
            text = f"a key must be text; write {key_node.value!r} in quotes"
            parsed.problems.append(Problem(dotted(here), f"line {line}", text))
        elif key_node.value in data:
            first = parsed.lines.get(here)
            parsed.problems.append(Problem(dotted(here), f"line {line}", f"given twice; first on line {first}"))
        else:
            parsed.lines[here] = line
            data[key_node.value] = _value(value_node, here, parsed)
    return data


def _scalar(kind: str, text: str) -> str | int | float | bool | None:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
