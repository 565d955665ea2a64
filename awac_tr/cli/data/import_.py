"""``awac-tr data import``: datasets of others made into ours."""

from __future__ import annotations

from pathlib import Path

import click

from awac_tr.cli.data.shared import json_option
from awac_tr.cli.support import echo_json, examples

__all__ = ["command"]


@click.command(
    "import",
    epilog=examples(
        "awac-tr data import door-v0_demos.pickle --env door-binary-v0 --out datasets/door-human.hdf5",
        "awac-tr data validate datasets/door-human.hdf5",
    ),
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--format",
    expose_value=False,  # there is one so far; commands on dataset cards name it
    type=click.Choice(["hand_dapg"]),
    default="hand_dapg",
    show_default=True,
    help="What FILE is.",
)
@click.option("--env", "env_id", required=True, help="Environment whose rewards, bounds and sizes apply.")
@click.option("--out", required=True, help="Dataset to make: a path, or a name in the folder of datasets.")
@click.option("--licence", default="", help="Licence of the demonstrations, noted in the dataset.")
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
@json_option
def command(*, file: Path, env_id: str, out: str, licence: str, force: bool, as_json: bool) -> None:
    """Make a dataset of hand_dapg's pickled demonstrations.

    Nothing of the pickle is run. Rewards are the environment's own, computed from the recorded observations; actions
    are clipped to the bounds; the last row of every episode is dropped, since its next observation was not recorded.
    """
    from awac_tr.data.hand_dapg import import_hand_dapg
    from awac_tr.data.paths import dataset_path

    report = import_hand_dapg(file, dataset_path(out), env_id, overwrite=force, licence=licence)
    if as_json:
        echo_json(vars(report))
    else:
        click.echo(
            f"{report.path}: {report.episodes} episodes, {report.transitions:,} transitions, {report.content_hash}"
        )
