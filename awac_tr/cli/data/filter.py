"""``awac-tr data filter``: some episodes of a dataset, chosen by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from awac_tr.cli.data.shared import echo_table, file_argument, json_option
from awac_tr.cli.options import DependentOption, refuse_idle_options
from awac_tr.cli.support import echo_json, examples

if TYPE_CHECKING:
    from awac_tr.data.ops.filter import FilterReport

__all__ = ["command"]


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
@click.option("--out", help="Dataset to make: a path, or a name in the folder of datasets.")
@click.option("--where", default="", metavar="EXPRESSION", help="What must be true of an episode, see above.")
@click.option("--episodes", default="", metavar="RANGES", help="By number, from 0, both ends included: 0-99,150.")
@click.option("--top-fraction", type=click.FloatRange(0, 1, min_open=True), help="Of those, the best by return.")
@click.option("--limit", type=click.IntRange(min=1), help="Of those, the first so many.")
@click.option("--dry-run", is_flag=True, help="Make no file, only say what would be in it.")
@click.option("--force", cls=DependentOption, needs="out", is_flag=True, help="Replace --out if it exists.")
@json_option
def command(
    *,
    file: str,
    out: str | None,
    where: str,
    episodes: str,
    top_fraction: float | None,
    limit: int | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Keep some episodes of a dataset.

    EXPRESSION compares the columns return, length, success_any, success_last, success_share, success_steps, seed,
    episode, source (the file an episode came from first), terminal, and any episodes/NAME of one number an episode,
    with < <= > >= == != in, joined by and, or, not: return > -150 and success_any and 50 <= length < 200.
    """
    from awac_tr.data.ops.filter import Choice, filter_dataset
    from awac_tr.data.storage.paths import dataset_path

    refuse_idle_options(click.get_current_context())
    if (out is None) != dry_run:
        raise click.UsageError("give --out FILE to make one, or --dry-run to make none.")
    choice = Choice(episodes, where, top_fraction, limit)
    target = None if out is None else dataset_path(out)
    report = filter_dataset(dataset_path(file), target, choice, overwrite=force)
    if as_json:
        made = None if report.made is None else vars(report.made)
        echo_json({**vars(report), "made": made})
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
