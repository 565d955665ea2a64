"""Options by which commands are told of an environment, and of trust in a file that names code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from awac_tr.recipes.env_files import EnvSaid
    from awac_tr.recipes.schema import EnvSection

__all__ = ["BOUNDS_HELP", "ENV_SET", "bounds_option", "env_of", "env_set_option", "named_env", "trust_option"]

ENV_SET: Final = "--env-set"

env_set_option = click.option(
    ENV_SET,
    "env_set",
    multiple=True,
    metavar="KEY=VALUE",
    help="A key of a recipe's env section, for example reward=my_task:sparse, kwargs.g=5 or horizon=100.",
)

BOUNDS_HELP: Final = "Act although actions are bounded otherwise than where the policy was trained."

bounds_option = click.option("--allow-bounds-mismatch", is_flag=True, help=BOUNDS_HELP)

trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Use the code and the files that the file names: wrappers, a reward, its environment's module, models.",
)


def named_env(ref: str | None) -> EnvSection | None:
    """The environment of ``--env``, an id or a YAML file; None where nothing is said.

    Raises:
        RecipeError: the file has mistakes.
    """
    from awac_tr.recipes.env_files import read_env

    return None if ref is None else read_env(ref)


def env_of(ref: str | None, changes: Sequence[str]) -> EnvSaid | None:
    """What the user says of an environment that a policy's file may name as well.

    Args:
        ref: ``--env``, an id or a YAML file.
        changes: ``--env-set``.

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
