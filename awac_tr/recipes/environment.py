"""The description of an environment, as recipes, cards, datasets and checkpoints hold it; and whom it is from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, field_validator

from awac_tr.errors import UntrustedCodeError
from awac_tr.recipes.base import PositiveCount, Section

__all__ = ["DOTTED_NAME", "EnvSection", "FoundEnv", "WrapperSection", "chosen_env", "differing_keys"]

DOTTED_NAME: Final = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"
DottedName = Annotated[str, Field(pattern=DOTTED_NAME)]

_MODULE_FIRST = re.compile(r"[A-Za-z_][\w.]*:")
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
        Field(description="smallest and largest reward of a step, for awac.value_bounds; every step is held to it"),
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
            UntrustedCodeError: the description was found in a file, and names code that nobody has said to trust.
        """
        if isinstance(env, FoundEnv):
            return env.checked()
        return EnvSection(id=env) if isinstance(env, str) else env

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> EnvSection:
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
        names += [text for text in self.kwargs.values() if isinstance(text, str) and _MODULE_FIRST.match(text)]
        names += [one if isinstance(one, str) else one.name for one in self.wrappers]
        return (*names, self.reward) if self.reward else tuple(names)


class FoundEnv(EnvSection):
    """An environment as a file describes it. Whoever the file is from, it does not decide what is imported here."""

    def trusted(self) -> EnvSection:
        """The same, of which everything may be imported."""
        return EnvSection.model_construct(**{name: getattr(self, name) for name in EnvSection.model_fields})

    def checked(self, file: object = "a file", *, own: EnvSection | None = None, trust: bool = False) -> EnvSection:
        """The same, where nothing has to be imported, or only what the user names too or trusts.

        Args:
            file: for the message.
            own: what the user says of the environment.
            trust: the user says that the file may decide what is imported.

        Raises:
            UntrustedCodeError: it names code.
        """
        named = [name for name in self.code if own is None or name not in own.code]
        if named and not trust:
            hint = "If you trust whoever made it: --trust (in Python: trust=True), or describe it yourself with --env."
            raise UntrustedCodeError(f"{file} names code, which was not imported: {', '.join(named)}", hint)
        return self.trusted()

    def __eq__(self, other: object) -> bool:
        """Equal to whatever describes the same environment, found or not."""
        mine, theirs = self.trusted(), other.trusted() if isinstance(other, FoundEnv) else other
        return mine == theirs

    __hash__ = EnvSection.__hash__


def chosen_env(file: object, found: FoundEnv | None, said: str | EnvSection | None, *, trust: bool) -> EnvSection:
    """The environment to make for a file: what the user says, and what the file says where the user leaves it open.

    Args:
        file: for the message.
        found: what the file says.
        said: what the user says; an id alone stands for the whole of what the file says of this very id.
        trust: the file may decide what is imported.

    Raises:
        UntrustedCodeError: the file names code that the user does not, and ``trust`` is False.
        ValueError: neither says anything.
    """
    own = None if said is None else EnvSection.of(said)
    if own is None:
        if found is None:
            raise ValueError("neither the file nor the user names an environment")
        return found.checked(file, trust=trust)
    if found is None or own != EnvSection(id=own.id) or own.name != found.name:
        return own
    # a module may stand before the user's id and not before the file's
    return found.checked(file, own=own, trust=trust).model_copy(update={"id": own.id})


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
