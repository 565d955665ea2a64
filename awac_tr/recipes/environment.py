"""The description of an environment, as recipes, cards, datasets and checkpoints hold it; and whom it is from."""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Self

from pydantic import Field, field_validator

from awac_tr.errors import UntrustedCodeError
from awac_tr.recipes.base import PositiveCount, Section

__all__ = ["DOTTED_NAME", "EnvSection", "FoundEnv", "WrapperSection", "differing_keys"]

DOTTED_NAME: Final = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"
DottedName = Annotated[str, Field(pattern=DOTTED_NAME)]

_MODULE_FIRST = re.compile(r"[A-Za-z_][\w.]*:")
_PATH = re.compile(r"[/\\]|^[.~$]")
"""In text that could lead to a file. A bare ``ant.xml`` is looked for by Gymnasium in its own folder, and stays."""
_INSTALLED = ("awac_tr", "gymnasium", "gymnasium_robotics")
"""Packages that are here because we need them: that a file names one of them gives nothing of the file's to run."""


class WrapperSection(Section):
    """A Gymnasium wrapper with arguments."""

    name: Annotated[DottedName, Field(description="module:Class")]
    kwargs: dict[str, Any] = Field(default_factory=dict, description="keyword arguments after the environment")


class EnvSection(Section):
    """The task: everything that decides what the environment is. Verbs, datasets and checkpoints describe it so."""

    id: Annotated[str, Field(description="Gymnasium id, for example door-binary-v0; module:id imports the module")]
    kwargs: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of gymnasium.make")
    horizon: Annotated[
        PositiveCount | None, Field(description="steps before an episode is cut; null: the registered horizon")
    ] = None
    wrappers: Annotated[
        tuple[DottedName | WrapperSection, ...],
        Field(description="Gymnasium wrappers as module:Class or {name, kwargs}, the innermost first"),
    ] = ()
    reward: Annotated[
        DottedName | None,
        Field(description="module:function that replaces the reward: (observation, action, next_observation, info)"),
    ] = None
    rescale_actions: Annotated[
        bool, Field(description="the policy acts in [-1, 1], and actions are stretched to the environment's bounds")
    ] = False
    reward_range: Annotated[
        tuple[float, float] | None,
        Field(description="smallest and largest reward of a step, for algorithm.value_bounds; steps are held to it"),
    ] = None

    @field_validator("reward_range")
    @classmethod
    def _ordered(cls, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits is not None and not limits[0] < limits[1]:
            raise ValueError("the smallest reward must be below the largest")
        return limits

    @staticmethod
    def of(env: str | EnvSection) -> EnvSection:
        """The description itself, or that of an id alone; everything that makes environments begins here.

        Raises:
            UntrustedCodeError: the description was found in a file, and names code or files that nobody said to trust.
        """
        if isinstance(env, FoundEnv):
            return env.checked()
        return EnvSection(id=env) if isinstance(env, str) else env

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Back from :meth:`to_plain`.

        Raises:
            ValueError: it is something else.
        """
        return cls.model_validate_json(json.dumps(dict(plain)))

    def to_plain(self) -> dict[str, Any]:
        """As plain JSON, for files: id, kwargs, horizon and :attr:`options`."""
        return {"id": self.id, "kwargs": dict(self.kwargs), "horizon": self.horizon, **self.options}

    @property
    def options(self) -> dict[str, Any]:
        """What goes beyond id, arguments and horizon, as plain JSON; empty for an environment as it is registered."""
        return self.model_dump(mode="json", exclude={"id", "kwargs", "horizon"}, exclude_defaults=True)

    @property
    def name(self) -> str:
        """The id as it is registered, without the module that may stand before it."""
        return self.id.rpartition(":")[2]

    @property
    def code(self) -> tuple[str, ...]:
        """What making it would import or run beyond what is registered; for files of strangers.

        >>> EnvSection(id="gymnasium_robotics:FetchReach-v4").code, EnvSection(id="a:B-v0", reward="c:d").code
        ((), ('a:B-v0', 'c:d'))
        """
        module, sign, _ = self.id.rpartition(":")
        names = [self.id] if sign and module not in _INSTALLED else []
        # gymnasium's gates to older environments take the id of another one, module and all, as an argument
        names += [text for _, text in self._texts() if _MODULE_FIRST.match(text)]
        names += [one if isinstance(one, str) else one.name for one in self.wrappers]
        return (*names, self.reward) if self.reward else tuple(names)

    @property
    def paths(self) -> tuple[str, ...]:
        """Arguments that could name a file of this machine, as ``key text``; for files of strangers.

        >>> EnvSection(id="Ant-v5", kwargs={"xml_file": "/etc/ant.xml"}).paths
        ("kwargs.xml_file '/etc/ant.xml'",)
        """
        return tuple(f"{key} {text[:80]!r}" for key, text in self._texts() if _PATH.search(text) or _is_file(text))

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Every text among the arguments of environment and wrappers, however deep, with its dotted key."""
        waiting: list[tuple[str, Any]] = [("kwargs", self.kwargs)]
        waiting += [(f"wrappers.{one.name}", one.kwargs) for one in self.wrappers if isinstance(one, WrapperSection)]
        while waiting:
            key, value = waiting.pop()
            if isinstance(value, str):
                yield key, value
            elif isinstance(value, Mapping):
                waiting += [(f"{key}.{str(name)[:80]}", inner) for name, inner in value.items()]
                waiting += [(key, str(name)) for name in value if value is not self.kwargs]
            elif isinstance(value, list | tuple):
                waiting += [(key, inner) for inner in value]


def _is_file(text: str) -> bool:
    return os.path.isfile(text)  # noqa: PTH113  (pathlib raises over names that are too long)


class FoundEnv(EnvSection):
    """An environment as a file describes it. Whoever that is from, it does not decide what is imported or opened."""

    def trusted(self) -> EnvSection:
        """The same, of which everything may be imported."""
        return EnvSection.model_construct(**{name: getattr(self, name) for name in EnvSection.model_fields})

    def checked(self, file: object = "a file", *, own: EnvSection | None = None, trust: bool = False) -> EnvSection:
        """The same, where nothing has to be imported and no file opened, or only what the user names too or trusts.

        Args:
            file: for the message.
            own: what the user says of the environment.
            trust: the user says that the file may decide what is imported and opened.

        Raises:
            UntrustedCodeError: it names code, or files of this machine.
        """
        code = [name for name in self.code if own is None or name not in own.code]
        said = [f"names code, which was not imported: {', '.join(code)}"] if code else []
        said += [f"names files, which were not opened: {', '.join(self.paths)}"] if self.paths else []
        if said and not trust:
            hint = "If you trust whoever made it: --trust (in Python: trust=True), or describe it yourself with --env."
            raise UntrustedCodeError(f"{file} {', and '.join(said)}", hint)
        return self.trusted()

    def __eq__(self, other: object) -> bool:
        """Equal to whatever describes the same environment, found or not."""
        mine, theirs = self.trusted(), other.trusted() if isinstance(other, FoundEnv) else other
        return mine == theirs

    __hash__ = EnvSection.__hash__


def differing_keys(found: EnvSection, wanted: EnvSection) -> dict[str, str]:
    """In which keys two descriptions differ; horizon and range of rewards change no transition and are left out.

    Returns:
        Key -> the difference in words.

    >>> differing_keys(EnvSection(id="A-v0", reward="a:b"), EnvSection(id="mine:A-v0"))
    {'reward': 'reward a:b, not null'}
    """
    pairs: dict[str, tuple[Any, Any]] = {"id": (found.name, wanted.name)}
    pairs |= {key: (getattr(found, key), getattr(wanted, key)) for key in ("wrappers", "reward", "rescale_actions")}
    pairs["kwargs"] = (_plain(found.kwargs), _plain(wanted.kwargs))
    return {key: f"{key} {_said(has)}, not {_said(want)}" for key, (has, want) in pairs.items() if has != want}


def _plain(value: Any) -> Any:
    """As it comes back from a file."""
    return json.loads(json.dumps(value))


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        value = [one if isinstance(one, str) else one.model_dump() for one in value]
    return value if isinstance(value, str) else json.dumps(value)
