"""``awac-tr envs``: one file a command, imported only when it is named."""

from __future__ import annotations

from typing import Final

import click

from awac_tr.cli.lazy import LazyGroup
from awac_tr.cli.support import examples

__all__ = ["command"]

MODULES: Final = {"list": "awac_tr.cli.envs.list_", "show": "awac_tr.cli.envs.show"}
"""Commands in the order of the help text."""


@click.group(
    "envs",
    cls=LazyGroup,
    modules=MODULES,
    epilog=examples(
        "awac-tr envs list",
        "awac-tr envs show door-binary-v0",
        "awac-tr envs show HalfCheetah-v5 --picture cheetah.png --speed",
    ),
)
def command() -> None:
    """List environments, and show what one sees, does, pays and looks like.

    Any registered Gymnasium environment with continuous actions can be trained in.
    """
