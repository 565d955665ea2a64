"""``awac-tr data merge``, ``split``, ``filter`` and ``from-run``: datasets of episodes that others, or a run, hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from awac_tr.cli.options import (
    DependentOption,
    file_argument,
    files_argument,
    force_option,
    json_option,
    out_option,
    refuse_idle_options,
    trust_option,
)
from awac_tr.cli.support import echo_json, echo_result, echo_table, examples
from awac_tr.data.storage.paths import dataset_path

if TYPE_CHECKING:
    from awac_tr.data.ops.filter import FilterReport

__all__ = ["filter_command", "from_run_command", "merge_command", "split_command"]


@click.command(
    "merge",
    epilog=examples(
        "awac-tr data merge door-demos door-bc --out door-all",
        "awac-tr data merge door-bc door-ou --out runs/both.hdf5 --drop-duplicates",
    ),
)
@files_argument
@out_option
@click.option("--drop-duplicates", is_flag=True, help="Leave out episodes that were met before; else they are said.")
@click.option("--allow-version-mismatch", is_flag=True, help="Merge files of different simulator versions.")
@click.option("--description", default="", help="A sentence for the new file.")
@force_option
@json_option
def merge_command(
    *, files: tuple[Path, ...], out: Path, drop_duplicates: bool, allow_version_mismatch: bool, description: str,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Merge datasets of one task into one, file after file.

    Environment, its arguments, horizon, action bounds, sizes and simulator versions must agree. Every episode keeps a
    note of the file it came from first, by which data filter can choose: source == 'door-bc'.
    """
    from awac_tr.data.ops.merge import merge

    report = merge(
        files,
        out,
        drop_duplicates=drop_duplicates,
        allow_version_mismatch=allow_version_mismatch,
        description=description,
        overwrite=force,
    )
    words = f"{report.path}: {report.episodes:,} episodes, {report.transitions:,} transitions, {report.content_hash}"
    echo_result(vars(report), words, as_json=as_json)


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
def split_command(*, file: Path, parts: str, seed: int, out: str, force: bool, as_json: bool) -> None:
    """Split a dataset into parts by whole episodes, drawn at random.

    The same file, shares and seed give the same parts on every machine. Shares below 1 in all leave the rest out.
    """
    from awac_tr.data.ops.split import parse_parts, split

    made = split(file, parse_parts(parts), out=out, seed=seed, overwrite=force)
    lines = [
        f"{name}: {part.path}: {part.episodes:,} episodes, {part.transitions:,} transitions, {part.content_hash}"
        for name, part in made.items()
    ]
    echo_result({name: vars(part) for name, part in made.items()}, *lines, as_json=as_json)


@click.command(
    "filter",
    epilog=examples(
        "awac-tr data filter door-bc --where 'success_any and length >= 50' --out door-good",
        "awac-tr data filter door-bc --where 'return > -150' --dry-run",
        "awac-tr data filter door-bc --top-fraction 0.1 --out door-best",
        "awac-tr data filter door-all --where \"source == 'door-demos'\" --limit 10 --out door-ten",
        "awac-tr data filter door-bc --episodes 0-99,150 --out door-first",
    ),
)
@file_argument
@click.option(
    "--out", type=dataset_path, metavar="FILE", help="Dataset to make: a path, or a name in the folder of datasets."
)
@click.option("--where", default="", metavar="EXPRESSION", help="What must be true of an episode, see above.")
@click.option("--episodes", default="", metavar="RANGES", help="By number, from 0, both ends included: 0-99,150.")
@click.option("--top-fraction", type=click.FloatRange(0, 1, min_open=True), help="Of those, the best by return.")
@click.option("--limit", type=click.IntRange(min=1), help="Of those, the first so many.")
@click.option("--dry-run", is_flag=True, help="Make no file, only say what would be in it.")
@click.option("--force", cls=DependentOption, needs="out", is_flag=True, help="Replace --out if it exists.")
@json_option
def filter_command(
    *, file: Path, out: Path | None, where: str, episodes: str, top_fraction: float | None, limit: int | None,
    dry_run: bool, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Keep some episodes of a dataset.

    EXPRESSION compares the columns return, length, success_any, success_last, success_share, success_steps, seed,
    episode, source (the file an episode came from first), terminal, and any episodes/NAME of one number an episode,
    with < <= > >= == != in, joined by and, or, not: return > -150 and success_any and 50 <= length < 200.
    """
    from awac_tr.data.ops.filter import Choice, filter_dataset

    refuse_idle_options(click.get_current_context())
    if (out is None) != dry_run:
        raise click.UsageError("give --out FILE to make one, or --dry-run to make none.")
    choice = Choice(episodes, where, top_fraction, limit)
    report = filter_dataset(file, out, choice, overwrite=force)
    if as_json:
        echo_json({**vars(report), "made": None if report.made is None else vars(report.made)})
    else:
        _show(report)


def _show(report: FilterReport) -> None:
    counts = [
        ("episodes", *(f"{count:,}" for count in report.episodes)),
        ("transitions", *(f"{count:,}" for count in report.transitions)),
    ]
    means = [(f"mean {name}", *(f"{value:.4g}" for value in pair)) for name, pair in report.measures.items()]
    made = report.made
    title = "nothing was written" if made is None else f"{made.path}: {made.content_hash}"
    echo_table(title, ("", "kept", "of all"), [*counts, *means])


@click.command(
    "from-run",
    epilog=examples(
        "awac-tr data from-run runs/halfcheetah-sac --out halfcheetah-sac",
        "awac-tr train recipes/halfcheetah.yaml 'data.datasets=[halfcheetah-sac]'",
    ),
)
@click.argument("run", metavar="RUN")
@out_option
@click.option("--licence", default="", help="Of the data, SPDX where possible.")
@click.option("--description", default="", help="A sentence for the new file.")
@force_option
@trust_option
@json_option
def from_run_command(
    *, run: str, out: Path, licence: str, description: str, force: bool, trust: bool, as_json: bool
) -> None:
    """Write the online episodes of a run as a dataset.

    All that was collected up to the last checkpoint, with the run, its algorithm and the datasets it learnt from noted.
    An episode under way at that checkpoint is stored as cut (a timeout). RUN is the folder of a run; nothing of it is
    changed, and it may be going on.
    """
    from awac_tr.training.run_dataset import dataset_from_run

    made = dataset_from_run(run, out, licence=licence, description=description, overwrite=force, trust=trust)
    cut = f", {made.cut} of them cut" if made.cut else ""
    size = f"{made.transitions:,} transitions of {made.env_step:,} environment steps"
    echo_result(
        vars(made), f"{made.path}: {made.episodes:,} episodes{cut}, {size}, {made.content_hash}", as_json=as_json
    )
