"""``awac-tr data merge``: several datasets of one task into one."""

from __future__ import annotations

import click

from awac_tr.cli.data.shared import json_option
from awac_tr.cli.support import echo_json, examples
from awac_tr.utils.terminal import echo

__all__ = ["command"]


@click.command(
    "merge",
    epilog=examples(
        "awac-tr data merge door-demos door-bc --out door-all",
        "awac-tr data merge door-bc door-ou --out runs/both.hdf5 --drop-duplicates",
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE FILE...")
@click.option("--out", required=True, help="Dataset to make: a path, or a name in the folder of datasets.")
@click.option("--drop-duplicates", is_flag=True, help="Leave out episodes that were met before; else they are said.")
@click.option("--allow-version-mismatch", is_flag=True, help="Merge files of different simulator versions.")
@click.option("--description", default="", help="A sentence for the new file.")
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
@json_option
def command(
    *,
    files: tuple[str, ...],
    out: str,
    drop_duplicates: bool,
    allow_version_mismatch: bool,
    description: str,
    force: bool,
    as_json: bool,
) -> None:
    """Merge datasets of one task into one, file after file.

    Environment, its arguments, horizon, action bounds, sizes and simulator versions must agree. Every episode keeps a
    note of the file it came from first, by which data filter can choose: source == 'door-bc'.
    """
    from awac_tr.data.ops.merge import merge
    from awac_tr.data.storage.paths import dataset_path

    report = merge(
        [dataset_path(file) for file in files],
        dataset_path(out),
        drop_duplicates=drop_duplicates,
        allow_version_mismatch=allow_version_mismatch,
        description=description,
        overwrite=force,
    )
    if as_json:
        echo_json(vars(report))
    else:
        echo(f"{report.path}: {report.episodes:,} episodes, {report.transitions:,} transitions, {report.content_hash}")
