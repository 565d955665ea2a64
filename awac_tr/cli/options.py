"""Options that several commands share, and those of no effect unless another one is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from awac_tr.data.storage.paths import dataset_path

if TYPE_CHECKING:
    from awac_tr.recipes.env_files import EnvSaid
    from awac_tr.recipes.schema import EnvSection

__all__ = [
    "BOUNDS_HELP",
    "ENV_SET",
    "TRUST_HELP",
    "DependentOption",
    "bounds_option",
    "env_of",
    "env_option",
    "env_set_option",
    "file_argument",
    "files_argument",
    "flag_of",
    "force_option",
    "given",
    "json_option",
    "method_option",
    "named_env",
    "out_option",
    "pairs",
    "picture_options",
    "quiet_option",
    "refuse_idle_options",
    "trust_option",
    "workers_option",
]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

ENV_SET: Final = "--env-set"
BOUNDS_HELP: Final = "Act although actions are bounded otherwise than where the policy was trained."
TRUST_HELP: Final = "Use the code and files that the file names, or, for an SB3 .zip, run what stands in it."

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
file_argument = click.argument("file", metavar="FILE", type=dataset_path)
files_argument = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=dataset_path)
force_option = click.option("--force", is_flag=True, help="Replace --out if it exists.")
out_option = click.option(
    "--out",
    type=dataset_path,
    metavar="FILE",
    required=True,
    help="Dataset to make: a path, or a name in the folder of datasets.",
)
method_option = click.option(
    "--method", metavar="NAME", help="Train by this method in place of the recipe's algorithm: see recipes list."
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress.")
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes; the result is the same for any number.",
)
env_set_option = click.option(
    ENV_SET,
    "env_set",
    multiple=True,
    metavar="KEY=VALUE",
    help="A key of a recipe's env section, for example reward=my_task:sparse, kwargs.g=5 or horizon=100.",
)
bounds_option = click.option("--allow-bounds-mismatch", is_flag=True, help=BOUNDS_HELP)
trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Use the code and the files that the file names: wrappers, a reward, its environment's module, models.",
)


def env_option(words: str) -> Decorator:
    """``--env``, an id or a recipe."""
    return click.option("--env", "env_id", metavar="ID|FILE", help=words)


def picture_options(kind: str, suffix: str) -> Decorator:
    """FILE..., ``--out``, ``--against`` and ``--seed`` of what draws datasets."""
    drawn = click.option(
        "--seed", type=int, default=0, show_default=True, help="Of the states that are drawn from a file."
    )
    against = click.option(
        "--against",
        type=dataset_path,
        metavar="OTHER",
        help="Dataset to compare states with: how much each covers of the other.",
    )
    out = click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"{kind}  [default: the dataset's name and {suffix}, or datasets{suffix}, here].",
    )
    return lambda command: files_argument(out(against(drawn(command))))


def named_env(ref: str | None) -> EnvSection | None:
    """The environment of ``--env``, an id or a YAML file; None where nothing is said.

    Raises:
        RecipeError: the file has mistakes.
    """
    from awac_tr.recipes.env_files import read_env

    return None if ref is None else read_env(ref)


def env_of(ref: str | None, changes: Sequence[str]) -> EnvSaid | None:
    """What ``--env`` and ``--env-set`` say of an environment that a policy's file may name as well.

    Returns:
        A description, or changes where an id, or nothing, is changed; None where nothing is said.

    Raises:
        RecipeError: it has mistakes.
    """
    from awac_tr.recipes.env_files import EnvChanges, env_with
    from awac_tr.recipes.schema import EnvSection

    env = named_env(ref)
    if not changes:
        return env
    if env is None or env == EnvSection(id=env.id):
        return EnvChanges(env.id if env is not None else None, tuple(changes))
    return env_with(env, changes)


def pairs(flag: str, texts: Sequence[str], example: str) -> list[tuple[str, Any]]:
    """What is given as ``KEY=VALUE``, the values as YAML reads them; UsageError where it is something else."""
    from awac_tr.recipes.yaml_text import parse_yaml

    found = []
    for text in texts:
        key, sign, value = text.partition("=")
        parsed = parse_yaml(value)
        if not sign or not key or parsed.problems:
            raise click.UsageError(f"{flag} {text}: expected KEY=VALUE, for example {example}.")
        found.append((key, parsed.data))
    return found


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
        """Raise a UsageError where it was given and has no effect."""
        other = next(one for one in context.command.params if one.name == self.needs)
        found = context.params[self.needs]
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
    """Raise a UsageError where something was typed that would have no effect."""
    for option in given(context):
        if isinstance(option, DependentOption):
            option.refuse_if_idle(context)
