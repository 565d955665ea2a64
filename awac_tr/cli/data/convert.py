"""``awac-tr data import`` and ``export``: datasets of others made into ours, and ours into those of other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from awac_tr.cli.options import env_option, file_argument, force_option, json_option, named_env, out_option
from awac_tr.cli.support import echo_result, examples
from awac_tr.data.convert.formats import EXPORTS, IMPORTS, list_formats, takers

__all__ = ["export_command", "import_command"]

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
@env_option("Environment, an id or a recipe, whose sizes, bounds and rewards apply.")
@out_option
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
@force_option
@json_option
def import_command(
    *, source: str, format_name: str, env_id: str | None, out: Path, obs_keys: str, ends: str, force: bool,
    as_json: bool, **settings: Any,
) -> None:  # fmt: skip
    """Import as the options say."""
    from awac_tr.data.convert.importer import ImportSettings, import_dataset

    said = ImportSettings(env_id=named_env(env_id) or "", obs_keys=_names(obs_keys), ends=_names(ends), **settings)
    report = import_dataset(source, out, format_name=format_name, settings=said, overwrite=force)
    size = f"{report.episodes} episodes, {report.transitions:,} transitions"
    echo_result(vars(report), f"{report.path}: {size}, {report.content_hash}", as_json=as_json)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@click.command(
    "export",
    epilog=examples(
        "awac-tr data export door-bc --format d4rl --out door-bc-d4rl.hdf5",
        "awac-tr data export door-bc --format minari --out awac/door/clone-v0",
        "awac-tr data export door-bc --format robomimic --out door-bc-robomimic.hdf5",
    ),
)
@file_argument
@click.option("--format", "format_name", type=click.Choice(EXPORTS), required=True, help="What to make.")
@click.option("--out", required=True, help="File to make; for minari an id, in $MINARI_DATASETS_PATH.")
@force_option
@json_option
def export_command(*, file: Path, format_name: str, out: str, force: bool, as_json: bool) -> None:
    """Write a dataset for another tool; importing it again gives back the same dataset.

    d4rl is also what d3rlpy, CORL and rlkit read. Minari recovers the environment from the export.
    """
    from awac_tr.data.convert.exporter import export_dataset

    report = export_dataset(file, out, format_name=format_name, overwrite=force)
    size = f"{report.episodes} episodes, {report.transitions:,} transitions"
    echo_result(vars(report), f"{report.out}: {size}, as {report.format}", as_json=as_json)
