"""The environment that somebody names on the command line: an id, or a file that describes one, with changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awac_tr.recipes.build import build
from awac_tr.recipes.environment import EnvSection, FoundEnv
from awac_tr.recipes.library import YAML_SUFFIXES
from awac_tr.recipes.yaml_text import KeyPath, Problem, dotted, parse_setting, problems_error, read_mapping

__all__ = ["EnvChanges", "EnvSaid", "chosen_env", "env_with", "read_env"]


@dataclass(frozen=True)
class EnvChanges:
    """Keys that the user changes in what a file says of its environment.

    Args:
        id: the environment; None: whatever the file names.
        changes: ``KEY=VALUE`` each, see :func:`env_with`.
    """

    id: str | None
    changes: tuple[str, ...] = ()


EnvSaid = str | EnvSection | EnvChanges
"""How a user names an environment: an id, a whole description, or changes of the one that a file describes."""


def chosen_env(file: object, found: FoundEnv | None, said: EnvSaid | None, *, trust: bool) -> EnvSection:
    """The environment to make for a file: what the user says, and what the file says where the user leaves it open.

    Args:
        file: for the message.
        found: what the file says.
        said: what the user says; an id alone, or changes, leave the rest to what the file says of this very id.
        trust: the file may decide what is imported.

    Raises:
        RecipeError: a change is not known.
        UntrustedCodeError: the file names code that the user does not, and ``trust`` is False.
        ValueError: neither names an environment.
    """
    if not isinstance(said, EnvChanges):
        whole = None if said is None else EnvSection.of(said)
        if whole is not None and whole != EnvSection(id=whole.id):
            return whole
        said = EnvChanges(whole.id if whole is not None else None)
    if found is None or (said.id is not None and EnvSection(id=said.id).name != found.name):
        if said.id is None:
            raise ValueError("neither the file nor the user names an environment")
        return env_with(EnvSection(id=said.id), said.changes)
    own = env_with(EnvSection(id=said.id or found.name), said.changes)
    changed = env_with(found.trusted(), said.changes)
    checked = FoundEnv.model_construct(**dict(changed)).checked(file, own=own, trust=trust)
    # a module may stand before the user's id and not before the file's
    return checked.model_copy(update={"id": said.id}) if said.id is not None else checked


def read_env(ref: str) -> EnvSection:
    """The environment of a Gymnasium id, or of a YAML file: a recipe's section ``env``, or a file of such keys alone.

    Args:
        ref: the id, or the path of a file that ends in ``.yaml`` or ``.yml``.

    Raises:
        RecipeError: the file cannot be read, or has mistakes in what it says of the environment; all named together.

    >>> read_env("HalfCheetah-v5").id
    'HalfCheetah-v5'
    """
    path = Path(ref)
    if path.suffix not in YAML_SUFFIXES:
        return EnvSection(id=ref)
    title = f"the environment of {ref}"
    parsed = read_mapping(path, title)
    inside: KeyPath = ("env",) if "env" in parsed.data else ()
    said = parsed.data["env"] if inside else parsed.data
    if isinstance(said, str):  # as dataset cards may write it
        said = {"id": said}
    if not isinstance(said, Mapping):
        raise problems_error(title, [Problem("env", "", "expected a section with the key id, or an id")])
    env, found, _ = build(EnvSection, said, parsed.where, inside)
    return _sound(env, title, [*parsed.problems, *found])


def env_with(env: EnvSection, changes: Sequence[str]) -> EnvSection:
    """A description with some keys changed.

    Args:
        env: the description.
        changes: ``KEY=VALUE`` each, a key of a recipe's section ``env``, dotted for one argument; the value YAML.

    Raises:
        RecipeError: a change is not of this form, or its key or value is not known; all named together.

    >>> env_with(EnvSection(id="Pendulum-v1"), ["kwargs.g=5.0", "rescale_actions=true"]).kwargs
    {'g': 5.0}
    """
    said, problems, where = env.to_plain(), [], "(--env-set)"
    for change in changes:
        setting = parse_setting(change, where, "KEY=VALUE, for example horizon=100")
        if isinstance(setting, Problem):
            problems.append(setting)
        else:
            _set(said, *setting)
    made, found, _ = build(EnvSection, said, lambda _: "")
    return _sound(made, "the environment", [*problems, *found])


def _set(said: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Only arguments have keys within; any other dotted key is left for the model to refuse by name."""
    if path[0] == "kwargs" and len(path) > 1:
        said["kwargs"] = {**said["kwargs"], ".".join(path[1:]): value}
    else:
        said[dotted(path)] = value


def _sound(env: EnvSection | None, title: str, problems: Sequence[Problem]) -> EnvSection:
    if env is None or problems:
        raise problems_error(title, problems)
    return env
