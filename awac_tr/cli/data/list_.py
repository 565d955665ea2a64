"""``awac-tr data list``: the datasets of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from awac_tr.cli.data.shared import echo_table, json_option, readable_bytes
from awac_tr.cli.support import echo_json, examples
from awac_tr.utils.terminal import echo

__all__ = ["command"]

_COLUMNS: Final = ("name", "env", "source", "episodes", "transitions", "size", "made from", "problem")


@click.command(
    "list",
    epilog=examples(
        "awac-tr data list", "awac-tr data list runs/data --json", "awac-tr data list --env door-binary-v0 --source bc"
    ),
)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--env", help="Only datasets of this environment.")
@click.option("--source", help="Only datasets that came about this way: demos, bc, ou, random, policy, import.")
@click.option("--problems", is_flag=True, help="Only files that cannot be used.")
@json_option
def command(*, folder: Path | None, env: str | None, source: str | None, problems: bool, as_json: bool) -> None:
    """List the datasets in FOLDER, by default the folder of datasets.

    Files that cannot be used are listed with what is wrong with them. Only what files say of themselves is read:
    awac-tr data validate looks at their rows.
    """
    from awac_tr.data.storage.listing import list_datasets
    from awac_tr.data.storage.paths import dataset_folder

    folder = folder or dataset_folder()
    entries = list_datasets(folder, env=env, source=source, problems=problems)
    if as_json:
        echo_json(entries)
    elif entries:
        echo_table(str(folder), _COLUMNS, [_row(entry) for entry in entries])
    elif env or source or problems:
        echo(f"{folder}: no datasets of that kind")
    else:
        echo(f"{folder}: no datasets; awac-tr collect makes one")


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = ("" if entry[name] is None else f"{entry[name]:,}" for name in ("episodes", "transitions"))
    size = "" if entry["bytes"] is None else readable_bytes(entry["bytes"])
    texts = (entry["name"], entry["env_id"] or "", entry["source"] or "")
    return (*texts, *numbers, size, ", ".join(entry["parents"] or ()), entry["problem"])
