"""``awac-tr data info``: where a dataset comes from and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from awac_tr.cli.data.shared import echo_table, file_argument, json_option, readable_bytes
from awac_tr.cli.support import echo_json, examples

__all__ = ["command"]


@click.command("info", epilog=examples("awac-tr data info door-bc", "awac-tr data info other.hdf5 --json"))
@file_argument
@json_option
def command(*, file: str, as_json: bool) -> None:
    """Show where a dataset comes from, its sizes, ranges and success."""
    from awac_tr.data.paths import dataset_path
    from awac_tr.data.stats import dataset_info

    info = dataset_info(dataset_path(file))
    if as_json:
        echo_json(info)
        return
    echo_table(str(info["path"]), ("", ""), _origin(info))
    echo_table("arrays", ("name", "type", "shape", "min", "max"), [_array_row(array) for array in info["arrays"]])
    columns = ("per episode", "mean", "std", "min", "max")
    measures = [(name, *(f"{value:.4g}" for value in found.values())) for name, found in info["measures"].items()]
    echo_table("measures", columns, measures)


def _origin(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rows of the first table; what the file does not say is left out."""
    meta = info["meta"]
    parents = ", ".join(f"{parent['name']} ({parent['hash'][:19]})" for parent in meta["parents"])
    rows = {
        "environment": meta["env_id"] or "unknown",
        "arguments": meta["env_kwargs"] or None,
        "horizon": meta["horizon"],
        "source": meta["source"],
        "policy": meta["policy"],
        "seed": meta["seed"],
        "parents": parents,
        "licence": meta["licence"],
        "description": meta["description"],
        "format": f"{info['format_version']}" if info["format_version"] else "D4RL-flat, not written by awac-tr",
        "created": info["created"],
        "versions": ", ".join(f"{name} {version}" for name, version in info["versions"].items()),
        "content hash": info["content_hash"],
        "size": readable_bytes(info["bytes"]),
        "episodes": f"{info['episodes']:,}: {info['terminals']:,} terminal, {info['timeouts']:,} cut",
        "transitions": f"{info['transitions']:,}",
    }
    return [(name, str(value)) for name, value in rows.items() if value not in (None, "")]


def _array_row(array: Mapping[str, Any]) -> tuple[str, ...]:
    shape = " x ".join(str(size) for size in array["shape"])
    return (array["name"], array["dtype"], shape, f"{array['min']:.4g}", f"{array['max']:.4g}")
