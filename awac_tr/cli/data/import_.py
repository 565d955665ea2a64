"""``awac-tr data import``: datasets of others made into ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import click

from awac_tr.cli.data.shared import json_option
from awac_tr.cli.environment import env_of
from awac_tr.cli.support import echo_json, examples

if TYPE_CHECKING:
    from awac_tr.data.hand_dapg import ImportReport

__all__ = ["command"]

FORMATS = ("auto", "d4rl", "minari", "hand_dapg", "robomimic", "lerobot")


@click.command(
    "import",
    epilog=examples(
        "awac-tr data import door-v0_demos.pickle --env door-binary-v0 --out door-human",
        "awac-tr data import D4RL/door/human-v2 --env door-binary-v0 --relabel --out door-minari",
        "awac-tr data import old-d4rl.hdf5 --env HalfCheetah-v5 --out cheetah",
        "awac-tr data import lift.hdf5 --format robomimic --obs-keys robot0_eef_pos,object --out lift",
    ),
)
@click.argument("source", metavar="FILE|ID")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="What FILE is; auto looks, and says what it found.",
)
@click.option(
    "--env", "env_id", metavar="ID|FILE", help="Environment, an id or a recipe, whose sizes, bounds and rewards apply."
)
@click.option("--out", required=True, help="Dataset to make: a path, or a name in the folder of datasets.")
@click.option("--horizon", type=click.IntRange(min=1), help="Steps before an episode was cut, where FILE has no cuts.")
@click.option("--relabel", is_flag=True, help="Replace rewards by the rule of --env on next observations.")
@click.option("--reward", type=float, help="Reward of every row, where FILE has none.")
@click.option("--obs-keys", default="", help="robomimic, LeRobot: parts of the observation, in order, with commas.")
@click.option("--filter-key", default="", help="robomimic: only the episodes of this mask.")
@click.option(
    "--dones",
    type=click.Choice(["terminal", "cut"]),
    default="terminal",
    show_default=True,
    help="robomimic, LeRobot: what done in the last row of an episode means.",
)
@click.option("--licence", default="", help="Licence of the data, noted in the dataset.")
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
@json_option
def command(
    *,
    source: str,
    format_name: str,
    env_id: str | None,
    out: str,
    horizon: int | None,
    relabel: bool,
    reward: float | None,
    obs_keys: str,
    filter_key: str,
    dones: str,
    licence: str,
    force: bool,
    as_json: bool,
) -> None:
    """Make a dataset of one in another format.

    FILE is a D4RL or robomimic HDF5 file, a hand_dapg pickle (nothing of it is run), a LeRobot v3 folder, a Minari
    folder, or the ID of a Minari dataset, which Minari downloads where it is not here.

    Whatever is clipped, dropped, narrowed or assumed on the way is said and counted.
    """
    from awac_tr.data.converters.intake import ImportSettings, import_dataset
    from awac_tr.data.paths import dataset_path

    settings = ImportSettings(
        env_id=env_of(env_id) or "",
        horizon=horizon,
        licence=licence,
        relabel=relabel,
        reward=reward,
        obs_keys=tuple(key.strip() for key in obs_keys.split(",") if key.strip()),
        filter_key=filter_key,
        dones=cast("Literal['terminal', 'cut']", dones),
    )
    report = import_dataset(source, dataset_path(out), format_name=format_name, settings=settings, overwrite=force)
    _say(report, as_json=as_json)


def _say(report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        echo_json(vars(report))
        return
    size = f"{report.episodes} episodes, {report.transitions:,} transitions"
    click.echo(f"{report.path}: {size}, {report.content_hash}")
