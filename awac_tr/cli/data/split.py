"""``awac-tr data split``: one dataset into parts, by whole episodes."""

from __future__ import annotations

import click

from awac_tr.cli.data.shared import file_argument, json_option
from awac_tr.cli.support import echo_json, examples
from awac_tr.utils.terminal import echo

__all__ = ["command"]


@click.command(
    "split",
    epilog=examples(
        "awac-tr data split door-bc --parts train=0.9,valid=0.1",
        "awac-tr data split door-bc --parts few=0.05 --seed 1 --out runs/{name}-{part}.hdf5",
    ),
)
@file_argument
@click.option("--parts", required=True, metavar="NAME=SHARE,...", help="Shares of the episodes, together at most 1.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draw.")
@click.option("--out", default="", help="Files to make  [default: {name}-{part}.hdf5 beside FILE].")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
def command(*, file: str, parts: str, seed: int, out: str, force: bool, as_json: bool) -> None:
    """Split a dataset into parts by whole episodes, drawn at random.

    The same file, shares and seed give the same parts on every machine. Shares below 1 in all leave the rest out.
    """
    from awac_tr.data.ops.split import parse_parts, split
    from awac_tr.data.storage.paths import dataset_path

    made = split(dataset_path(file), parse_parts(parts), out=out, seed=seed, overwrite=force)
    if as_json:
        echo_json({name: vars(part) for name, part in made.items()})
        return
    for name, part in made.items():
        counts = f"{part.episodes:,} episodes, {part.transitions:,} transitions"
        echo(f"{name}: {part.path}: {counts}, {part.content_hash}")
