"""``awac-tr envs list``: ours, those of the recipes, and all that Gymnasium knows of."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from awac_tr.cli.data.shared import echo_table, json_option
from awac_tr.cli.support import echo_json, examples
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.envs.describe.catalogue import Entry

__all__ = ["command"]

_COLUMNS: Final = ("id", "horizon", "observation", "action", "reward", "recipes")


@click.command("list", epilog=examples("awac-tr envs list", "awac-tr envs list --all", "awac-tr envs list push --all"))
@click.argument("text", default="")
@click.option("--all", "everything", is_flag=True, help="Also what else is registered and may have continuous actions.")
@json_option
def command(*, text: str, everything: bool, as_json: bool) -> None:
    """List environments whose id contains TEXT: those of awac-tr first, then those its recipes use.

    Observation and action are numbers of entries, horizon is steps. Of what --all adds nothing is made, so only the
    registered horizon is known; awac-tr envs show ID tells the rest.
    """
    from awac_tr.envs.describe.catalogue import catalogue

    entries = catalogue(text, everything=everything)
    if as_json:
        echo_json([asdict(entry) for entry in entries])
    elif entries:
        echo_table("environments", _COLUMNS, [_row(entry) for entry in entries])
    else:
        echo(f"no id contains {text!r}" + ("" if everything else "; --all looks at everything registered"))


def _row(entry: Entry) -> tuple[str, ...]:
    numbers = (entry.horizon, entry.observation_size, entry.action_size)
    shown = ("" if number is None else f"{number}" for number in numbers)
    return (entry.id, *shown, entry.reward, ", ".join(entry.recipes))
