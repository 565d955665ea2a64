"""Options by which commands are told of an environment, and of trust in a file that names code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from awac_tr.recipes.schema import EnvSection

__all__ = ["ENV_SET", "env_of", "env_set_option", "trust_option"]

ENV_SET: Final = "--env-set"

env_set_option = click.option(
    ENV_SET,
    "env_set",
    multiple=True,
    metavar="KEY=VALUE",
    help="A key of a recipe's env section, for example reward=my_task:sparse, kwargs.g=5 or horizon=100.",
)

trust_option = click.option(
    "--trust", is_flag=True, help="Import the code that the file names: wrappers, a reward, its environment's module."
)


def env_of(ref: str | None, changes: Sequence[str] = (), base: EnvSection | None = None) -> EnvSection | None:
    """The environment that the user describes.

    Args:
        ref: ``--env``, an id or a YAML file; None: ``base``.
        changes: ``--env-set``.
        base: what is described elsewhere.

    Returns:
        The description; None where nothing is said.

    Raises:
        RecipeError: it has mistakes.
        UsageError: there is nothing to change.
    """
    if ref is None and base is None:
        if changes:
            raise click.UsageError(f"{ENV_SET} changes an environment: name it with --env.")
        return None
    from awac_tr.recipes.env_files import env_with, read_env

    env = base if ref is None else read_env(ref)
    return env_with(env, changes) if env is not None and changes else env
