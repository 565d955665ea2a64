"""``awac-tr data info``: where a dataset comes from and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from awac_tr.cli.data.shared import console, echo_table, file_argument, json_option
from awac_tr.cli.support import echo_json, examples
from awac_tr.data.report import rows
from awac_tr.data.statistics.text import STATES
from awac_tr.errors import plain

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["command"]


@click.command(
    "info",
    epilog=examples(
        "awac-tr data info door-bc", "awac-tr data info door-bc --dims", "awac-tr data info other.hdf5 --json"
    ),
)
@file_argument
@click.option("--dims", is_flag=True, help="Show mean, deviation and range of every entry of states and actions.")
@json_option
def command(*, file: str, dims: bool, as_json: bool) -> None:
    """Show where a dataset comes from, and what it holds.

    Its lineage is drawn as a tree, from this file up; parents are looked for in its folder by their content hash.
    Numbers of entries count from 0.
    """
    from awac_tr.data.statistics.statistics import dataset_info
    from awac_tr.data.storage.paths import dataset_path

    info = dataset_info(dataset_path(file))
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
