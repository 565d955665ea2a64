"""``awac-tr data list``: the datasets of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from awac_tr.cli.data.shared import echo_table, json_option, readable_bytes
from awac_tr.cli.support import echo_json, examples

__all__ = ["command"]

_LIST_COLUMNS: Final = ("name", "env", "source", "episodes", "transitions", "size", "problem")


@click.command("list", epilog=examples("awac-tr data list", "awac-tr data list runs/data --json"))
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@json_option
def command(*, folder: Path | None, as_json: bool) -> None:
    """List the datasets in FOLDER, by default the folder of datasets."""
    from awac_tr.data.paths import dataset_folder
    from awac_tr.data.stats import list_datasets

    folder = folder or dataset_folder()
    entries = list_datasets(folder)
    if as_json:
        echo_json(entries)
    elif entries:
        echo_table(str(folder), _LIST_COLUMNS, [_list_row(entry) for entry in entries])
    else:
        click.echo(f"{folder}: no datasets; awac-tr collect makes one")


def _list_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = ("" if entry[name] is None else f"{entry[name]:,}" for name in ("episodes", "transitions"))
    texts = (entry["name"], entry["env_id"] or "", entry["source"] or "")
    return (*texts, *numbers, readable_bytes(entry["bytes"]), entry["problem"])
