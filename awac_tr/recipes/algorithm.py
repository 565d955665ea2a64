"""Which algorithm a recipe under construction names, what its preset fills in, and keys of earlier versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from awac_tr.algorithms.registry import ALGORITHMS, config_class
from awac_tr.recipes.build import FORMER_NAMES, get_path
from awac_tr.recipes.yaml_text import KeyPath, Problem, dotted, dump_value
from awac_tr.utils.suggest import did_you_mean

__all__ = ["algorithm_name", "misplaced_key", "moved", "preset_keys", "refuse_algorithm"]

_DEFAULT: Final = "awac"
_DROPPED: Final = ("validation_fraction", "patience", "check_every")
"""Keys of ``bc`` that never acted in training; those of a dataset card's clone are others."""


def algorithm_name(data: Mapping[str, Any]) -> str:
    """The algorithm that nested recipe keys name, or the default one.

    >>> algorithm_name({"algorithm": {"name": "bc"}}), algorithm_name({})
    ('bc', 'awac')
    """
    name = get_path(data, ("algorithm", "name"))
    return name if name in ALGORITHMS else _DEFAULT


def preset_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys that the preset of a recipe's algorithm fills in; none for an unknown preset.

    >>> preset_keys({"algorithm": {"preset": "authors"}})["offline"]
    {'batch_size': 128}
    """
    config = config_class(algorithm_name(data))
    preset = get_path(data, ("algorithm", "preset"), config.model_fields["preset"].default)
    return dict(config.presets.get(preset, {})) if isinstance(preset, str) else {}


def moved(data: Mapping[str, Any], where: Callable[[KeyPath], str]) -> tuple[dict[str, Any], list[Problem]]:
    """Refuse unknown algorithms, and the spelling of version 0.1 (``algorithm: awac`` beside a section ``awac``).

    Args:
        data: nested recipe keys.
        where: tells for a key's path where it was written.

    Returns:
        The keys without those that were refused, and a problem for each of them.
    """
    kept = dict(data)
    section = kept.get("algorithm")
    old = {name: kept.pop(name) for name in ALGORITHMS if name in kept}
    if isinstance(section, str):
        del kept["algorithm"]
        own = old.get(section)
        return kept, [
            Problem("algorithm", where(("algorithm",)), _refusal(section, own if isinstance(own, Mapping) else {})),
            *(_stray(name, where) for name in old if name != section),
        ]
    problems = [_stray(name, where) for name in old]
    refusal = refuse_algorithm(("algorithm", "name"), get_path(kept, ("algorithm", "name"), _DEFAULT))
    if refusal:
        del kept["algorithm"]
        problems.append(Problem("algorithm.name", where(("algorithm", "name")), refusal))
        return kept, problems
    if isinstance(section, Mapping):
        paths = {key: ("algorithm", str(key)) for key in section}
        refused = {key: text for key, path in paths.items() if (text := misplaced_key(path, algorithm_name(kept)))}
        kept["algorithm"] = {key: value for key, value in section.items() if key not in refused}
        problems += [Problem(dotted(paths[key]), where(paths[key]), text) for key, text in refused.items()]
    return kept, problems


def refuse_algorithm(path: KeyPath, name: object) -> str:
    """The message for an unknown algorithm; empty for a known one, or another key.

    >>> refuse_algorithm(("algorithm", "name"), "awca")
    "no algorithm 'awca'; did you mean 'awac'?"
    """
    if path != ("algorithm", "name") or name in ALGORITHMS:
        return ""
    return f"no algorithm {name!r}{did_you_mean(str(name), ALGORITHMS) or '; known: ' + ', '.join(ALGORITHMS)}"


def misplaced_key(path: KeyPath, algorithm: str) -> str:
    """The message for a key of another algorithm, or one as version 0.1 wrote it; empty for anything else.

    >>> misplaced_key(("algorithm", "expectile"), "bc")
    'is a key of iql, not of bc'
    >>> misplaced_key(("awac", "lmbda"), "awac")
    'keys of an algorithm stand in the section algorithm: algorithm.temperature'
    """
    if path[0] in ALGORITHMS and len(path) > 1:
        return f"keys of an algorithm stand in the section algorithm: algorithm.{FORMER_NAMES.get(path[-1], path[-1])}"
    if path[0] != "algorithm" or path[-1] in config_class(algorithm).model_fields:
        return ""
    owners = [name for name in ALGORITHMS if path[-1] in config_class(name).model_fields]
    return f"is a key of {', '.join(owners)}, not of {algorithm}" if owners else ""


def _refusal(name: str, keys: Mapping[str, Any]) -> str:
    kept = {FORMER_NAMES.get(key, key): value for key, value in keys.items() if key not in _DROPPED}
    written = dump_value({"name": name, **kept})
    return (
        refuse_algorithm(("algorithm", "name"), name) or f"is a section since version 0.2: write algorithm: {written}"
    )


def _stray(name: str, where: Callable[[KeyPath], str]) -> Problem:
    return Problem(name, where((name,)), f"keys of an algorithm stand in the section algorithm: {{name: {name}, ...}}")
