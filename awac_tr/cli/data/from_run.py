"""``awac-tr data from-run``: what a run collected online, as a dataset."""

from __future__ import annotations

import click

from awac_tr.cli.data.shared import json_option
from awac_tr.cli.environment import trust_option
from awac_tr.cli.support import echo_json, examples
from awac_tr.utils.terminal import echo

__all__ = ["command"]


@click.command(
    "from-run",
    epilog=examples(
        "awac-tr data from-run runs/halfcheetah-sac --out halfcheetah-sac",
        "awac-tr train recipes/halfcheetah.yaml 'data.datasets=[halfcheetah-sac]'",
    ),
)
@click.argument("run", metavar="RUN")
@click.option("--out", required=True, help="Dataset to make: a path, or a name in the folder of datasets.")
@click.option("--licence", default="", help="Of the data, SPDX where possible.")
@click.option("--description", default="", help="A sentence for the new file.")
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
@trust_option
@json_option
def command(*, run: str, out: str, licence: str, description: str, force: bool, trust: bool, as_json: bool) -> None:
    """Write the online episodes of a run as a dataset.

    All that was collected up to the last checkpoint, with the run, its algorithm and the datasets it learnt from noted.
    An episode under way at that checkpoint is stored as cut (a timeout). RUN is the folder of a run; nothing of it is
    changed, and it may be going on.
    """
    from awac_tr.data.storage.paths import dataset_path
    from awac_tr.training.run_dataset import dataset_from_run

    made = dataset_from_run(
        run, dataset_path(out), licence=licence, description=description, overwrite=force, trust=trust
    )
    if as_json:
        echo_json(vars(made))
    else:
        cut = f", {made.cut} of them cut" if made.cut else ""
        echo(
            f"{made.path}: {made.episodes:,} episodes{cut}, {made.transitions:,} transitions"
            f" of {made.env_step:,} environment steps, {made.content_hash}"
        )
