"""``awac-tr data info``: where a dataset comes from and what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from awac_tr.cli.data.shared import console, echo_table, file_argument, json_option, readable_bytes
from awac_tr.cli.support import echo_json, examples
from awac_tr.data.statistics.text import STATES, entries_text, range_text
from awac_tr.errors import plain

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["command"]

_MEASURES: Final = ("mean", "std", "min", "median", "max")
_MOMENTS: Final = ("mean", "std", "min", "max")
_ARRAYS: Final = ("name", "type", "shape", "min", "max", "on disk", "compression")
_MOST: Final = 5


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
    echo_table(str(info["path"]), ("", ""), _origin(info))
    console().print(_tree(info["lineage"]))
    measures = [(name, *(f"{found[key]:.4g}" for key in _MEASURES)) for name, found in info["measures"].items()]
    echo_table("measures", ("per episode", *_MEASURES), measures)
    echo_table("rewards", ("value", "rows", "share"), list(_rewards(info)))
    echo_table("entries", ("", ""), list(_entries(info)))
    if dims:
        echo_table("every entry", ("entry", *_MOMENTS, "at a bound", ""), list(_dims(info)))
    echo_table("arrays", _ARRAYS, [_array_row(array) for array in info["arrays"]])


def _origin(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rows of the first table; what the file does not say is left out."""
    meta, storage = info["meta"], info["storage"]
    sizes = [f"{readable_bytes(storage[name])} {words}" for name, words in _SIZES.items()]
    rows = {
        "environment": meta["env_id"] or "unknown",
        "arguments": meta["env_kwargs"] or None,
        **{name.replace("_", " "): value for name, value in meta["env_options"].items()},
        "horizon": meta["horizon"],
        "source": meta["source"],
        "policy": meta["policy"],
        "seed": meta["seed"],
        "licence": meta["licence"],
        "description": meta["description"],
        "format": f"{info['format_version']}" if info["format_version"] else "D4RL-flat, not written by awac-tr",
        "created": info["created"],
        "versions": ", ".join(f"{name} {version}" for name, version in info["versions"].items()),
        "content hash": info["content_hash"],
        "size": ", ".join(sizes),
        "episodes": f"{info['episodes']:,}: {info['terminals']:,} terminal, {info['timeouts']:,} cut",
        "transitions": f"{info['transitions']:,}",
    }
    return [(name, str(value)) for name, value in rows.items() if value not in (None, "")]


_SIZES: Final = {"file": "on disk", "memory": "uncompressed", "buffer": "in a replay buffer"}


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


def _rewards(info: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every value where they are few, else their range."""
    rewards = info["rewards"]
    if rewards["values"] is None:
        words = f"{rewards['min']:.4g} to {rewards['max']:.4g}, mean {rewards['mean']:.4g}, std {rewards['std']:.4g}"
        yield words, f"{info['transitions']:,}", "100 %"
        return
    for found in rewards["values"]:
        yield f"{found['value']:.6g}", f"{found['count']:,}", f"{found['count'] / info['transitions']:.1%}"


def _entries(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Widths, constant entries and saturation, in a line each."""
    for name, found in info["dims"].items():
        words = [f"{len(found['mean'])} numbers", f"std {range_text(found['std'])}"]
        words += [f"constant: {entries_text(found['constant'])}"] if found["constant"] else []
        bad = sum(found["not_finite"])
        words += [f"{bad:,} NaN or infinite"] if bad else []
        yield name, ", ".join(words)
    actions = info["actions"]
    yield "action bounds", f"{range_text(actions['low'])} below, {range_text(actions['high'])} above"
    either = [low + high for low, high in zip(actions["at_low"], actions["at_high"], strict=True)]
    most = sorted(range(len(either)), key=lambda entry: -either[entry])[:_MOST]
    worst = ", ".join(f"{entry} ({either[entry]:.0%})" for entry in most if either[entry] > 0)
    yield "at a bound", f"{actions['saturation']:.1%} of all entries" + (f", most in {worst}" if worst else "")


def _dims(info: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    actions = info["actions"]
    for name, found in info["dims"].items():
        for entry in range(len(found["mean"])):
            at = f"{actions['at_low'][entry] + actions['at_high'][entry]:.1%}" if name == "actions" else ""
            note = "constant" if entry in found["constant"] else ""
            yield (f"{name}[{entry}]", *(f"{found[key][entry]:.4g}" for key in _MOMENTS), at, note)


def _array_row(array: Mapping[str, Any]) -> tuple[str, ...]:
    shape = " x ".join(str(size) for size in array["shape"])
    limits = (f"{array['min']:.4g}", f"{array['max']:.4g}")
    return (array["name"], array["dtype"], shape, *limits, readable_bytes(array["stored"]), array["compression"])
