"""``awac-tr data import``: datasets of others made into ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from awac_tr.cli.data.shared import json_option
from awac_tr.cli.environment import named_env
from awac_tr.cli.support import echo_json, examples
from awac_tr.data.convert.formats import IMPORTS, list_formats, takers
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.data.convert.hand_dapg import ImportReport

__all__ = ["command"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _option(flag: str, words: str, **more: Any) -> Callable[[_Command], _Command]:
    """An option whose help begins with the formats that take it, where not all do."""
    names = ", ".join(takers(flag.removeprefix("--").replace("-", "_")))
    return click.option(flag, help=f"{names}: {words}" if names else words, **more)


@click.command(
    "import",
    help=f"""Make a dataset of one in another format.

    FILE is {list_formats()}. Minari downloads what is not here.

    Whatever is clipped, dropped, narrowed or assumed on the way is said and counted. An option that the format does not
    take is refused.
    """,
    epilog=examples(
        "awac-tr data import door-v0_demos.pickle --env door-binary-v0 --out door-human",
        "awac-tr data import D4RL/door/human-v2 --env door-binary-v0 --relabel --out door-minari",
        "awac-tr data import old-d4rl.hdf5 --env HalfCheetah-v5 --out cheetah",
        "awac-tr data import agent.hdf5 --env Pendulum-v1 --actions scaled --out pendulum",
        "awac-tr data import lift.hdf5 --format robomimic --obs-keys robot0_eef_pos,object --out lift",
    ),
)
@click.argument("source", metavar="FILE|ID")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["auto", *IMPORTS]),
    default="auto",
    show_default=True,
    help="What FILE is; auto looks, and says what it found.",
)
@click.option(
    "--env", "env_id", metavar="ID|FILE", help="Environment, an id or a recipe, whose sizes, bounds and rewards apply."
)
@click.option("--out", required=True, help="Dataset to make: a path, or a name in the folder of datasets.")
@_option("--horizon", "steps before an episode was cut.", type=click.IntRange(min=1))
@_option("--relabel", "replace rewards by the rule of --env on next observations.", is_flag=True)
@_option("--reward", "reward of every row, where FILE has none.", type=float)
@_option("--obs-keys", "parts of the observation, in order, with commas.", default="")
@_option("--filter-key", "only the episodes of this mask.", default="")
@_option(
    "--dones",
    "what done in the last row of an episode means  [default: terminal; D4RL: asked, where it is in doubt].",
    type=click.Choice(["terminal", "cut"]),
)
@_option("--ends", "the arrays that say where episodes end, where several disagree.", default="")
@_option(
    "--actions",
    "units of FILE's actions: the environment's own, or [-1, 1] for its bounds  [default: as FILE tells, or raw].",
    type=click.Choice(["raw", "scaled"]),
)
@_option(
    "--out-of-bounds",
    "actions beyond the bounds  [default: clipped, but refused where they are a fifth].",
    type=click.Choice(["clip", "refuse"]),
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
    dones: Any,
    ends: str,
    actions: Any,
    out_of_bounds: Any,
    licence: str,
    force: bool,
    as_json: bool,
) -> None:
    """Import as the options say."""
    from awac_tr.data.convert.importer import ImportSettings, import_dataset
    from awac_tr.data.storage.paths import dataset_path

    settings = ImportSettings(
        env_id=named_env(env_id) or "",
        horizon=horizon,
        licence=licence,
        relabel=relabel,
        reward=reward,
        obs_keys=tuple(key.strip() for key in obs_keys.split(",") if key.strip()),
        filter_key=filter_key,
        dones=dones,
        ends=tuple(name.strip() for name in ends.split(",") if name.strip()),
        actions=actions,
        out_of_bounds=out_of_bounds,
    )
    report = import_dataset(source, dataset_path(out), format_name=format_name, settings=settings, overwrite=force)
    _say(report, as_json=as_json)


def _say(report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        echo_json(vars(report))
        return
    size = f"{report.episodes} episodes, {report.transitions:,} transitions"
    echo(f"{report.path}: {size}, {report.content_hash}")
