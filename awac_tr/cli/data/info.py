"""``awac-tr data list`` and ``info``: the datasets of a folder; where one comes from and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from awac_tr.cli.options import file_argument, json_option
from awac_tr.cli.support import console, echo_json, echo_table, examples
from awac_tr.data.report import rows
from awac_tr.data.statistics.text import STATES, readable_bytes
from awac_tr.errors import plain
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["command", "list_command"]

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
def list_command(*, folder: Path | None, env: str | None, source: str | None, problems: bool, as_json: bool) -> None:
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
        echo_table(str(folder), _COLUMNS, [_listed(entry) for entry in entries])
    elif env or source or problems:
        echo(f"{folder}: no datasets of that kind")
    else:
        echo(f"{folder}: no datasets; awac-tr collect makes one")


def _listed(entry: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = ("" if entry[name] is None else f"{entry[name]:,}" for name in ("episodes", "transitions"))
    size = "" if entry["bytes"] is None else readable_bytes(entry["bytes"])
    texts = (entry["name"], entry["env_id"] or "", entry["source"] or "")
    return (*texts, *numbers, size, ", ".join(entry["parents"] or ()), entry["problem"])


@click.command(
    "info",
    epilog=examples(
        "awac-tr data info door-bc", "awac-tr data info door-bc --dims", "awac-tr data info other.hdf5 --json"
    ),
)
@file_argument
@click.option("--dims", is_flag=True, help="Show mean, deviation and range of every entry of states and actions.")
@json_option
def command(*, file: Path, dims: bool, as_json: bool) -> None:
    """Show where a dataset comes from, and what it holds.

    Its lineage is drawn as a tree, from this file up; parents are looked for in its folder by their content hash.
    Numbers of entries count from 0.
    """
    from awac_tr.data.statistics.statistics import dataset_info

    info = dataset_info(file)
    if as_json:
        echo_json(info)
        return
    echo_table(str(info["path"]), ("", ""), rows.origin_rows(info))
    console().print(_tree(info["lineage"]))
    echo_table("measures", rows.MEASURES, rows.measure_rows(info))
    echo_table("rewards", rows.REWARDS, rows.reward_rows(info))
    echo_table("entries", ("", ""), list(rows.entry_rows(info)))
    if dims:
        echo_table(
            "every entry", rows.EVERY_ENTRY, [row for name in info["dims"] for row in rows.every_entry(info, name)]
        )
    echo_table("arrays", rows.ARRAYS, rows.array_rows(info))


def _tree(node: Mapping[str, Any]) -> Tree:
    """The lineage from this file up."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text("lineage", style="bold"), guide_style="dim")
    _grow(tree, node)
    return tree


def _grow(tree: Tree, node: Mapping[str, Any]) -> None:
    from rich.text import Text

    label = Text(plain(node["name"]), style="bold" if node["kind"] == "dataset" else "")
    label.append("".join(f"  {plain(words)}" for words in (node["detail"], node["hash"][:19]) if words), style="dim")
    if node["state"] in STATES:
        label.append(f"  ({STATES[node['state']]})", style="dim" if node["state"] == "seen" else "yellow")
    branch = tree.add(label)
    for parent in node["parents"]:
        _grow(branch, parent)
