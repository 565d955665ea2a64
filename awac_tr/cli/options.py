"""Options that only have an effect beside another one: it is declared once, for the help text and for the refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

__all__ = ["DependentOption", "flag_of", "given", "refuse_idle_options"]


class DependentOption(click.Option):
    """An option of no effect unless another one is given, or has certain values.

    Args:
        needs: name of the parameter of the other one.
        values: what that must be, named at the beginning of the help text; empty: anything but its default.
    """

    def __init__(self, *args: Any, needs: str, values: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.help = f"{', '.join(values)}: {self.help}" if values else self.help
        self.needs, self.values = needs, tuple(values)

    def refuse_if_idle(self, context: click.Context) -> None:
        """Raise where it was given and has no effect.

        Raises:
            UsageError: so it is.
        """
        other, found = _named(context, self.needs), context.params[self.needs]
        if self.values and found not in self.values:
            only = " or ".join(self.values)
            raise click.UsageError(f"{flag_of(self)} has no effect with {flag_of(other)} {found}, only with {only}.")
        if not self.values and not found:
            raise click.UsageError(f"{flag_of(self)} has no effect without {flag_of(other)}.")


def flag_of(option: click.Parameter) -> str:
    """An option as it is typed: ``--sample/--mean``."""
    return "/".join([*option.opts, *option.secondary_opts])


def given(context: click.Context) -> list[click.Parameter]:
    """The options and arguments that were typed, in the order of the help text."""
    typed = click.core.ParameterSource.COMMANDLINE
    return [one for one in context.command.params if one.name and context.get_parameter_source(one.name) is typed]


def refuse_idle_options(context: click.Context) -> None:
    """Refuse what was typed and would have no effect.

    Raises:
        UsageError: there is such an option.
    """
    for option in given(context):
        if isinstance(option, DependentOption):
            option.refuse_if_idle(context)


def _named(context: click.Context, name: str) -> click.Parameter:
    return next(one for one in context.command.params if one.name == name)
