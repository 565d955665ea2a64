"""``awac-tr bench``: how fast this machine trains a recipe, and which settings to choose."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from awac_tr.cli.options import json_option, method_option
from awac_tr.cli.support import console, echo_json, examples, progress_bar
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.bench.run import Tell

__all__ = ["command"]


@click.command(
    "bench",
    epilog=examples(
        "awac-tr bench recipes/door.yaml",
        "awac-tr bench recipes/door.yaml offline.batch_size=256 threads=1 --json",
        "awac-tr bench recipes/door.yaml --method iql",
        "awac-tr bench recipes/quickstart.yaml --quick",
        "awac-tr bench recipes/door.yaml --against d3rlpy",
    ),
)
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@method_option
@click.option("--updates", type=click.IntRange(min=1), help="Updates in a block  [default: 20, with --quick 3].")
@click.option("--steps", type=click.IntRange(min=1), help="Environment steps in a block  [default: 400, --quick 60].")
@click.option("--blocks", type=click.IntRange(min=1), help="Blocks of everything  [default: 7, with --quick 5].")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: short blocks, nothing compiled.")
@click.option("--against", type=click.Choice(["d3rlpy"]), help="Also time this package's form of the method.")
@json_option
def command(
    *, recipe: str, overrides: tuple[str, ...], method: str | None, updates: int | None, steps: int | None,
    blocks: int | None, quick: bool, against: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure what this machine makes of RECIPE, and say which settings to choose.

    RECIPE and KEY=VALUE are as for awac-tr train. Measured are updates, eager and compiled, in fp32 and, where the
    hardware multiplies it, in bf16; bare matrix products, which no update can beat; environment steps; a whole online
    round; memory; and loading the datasets. What is compared takes turns; medians over blocks are given. Nothing is
    written; datasets that are not here are replaced by noise of their size.
    """
    from awac_tr.bench import Options, bench
    from awac_tr.recipes.loader import load_recipe

    loaded = load_recipe(recipe, overrides, method=method)
    base = Options.quick(against) if quick else Options(against=against)
    options = dataclasses.replace(
        base, updates=updates or base.updates, steps=steps or base.steps, blocks=blocks or base.blocks
    )
    with _progress() as tell:
        report = bench(loaded.recipe, options, tell)
    if as_json:
        echo_json(report.to_json())
        return
    from awac_tr.bench.tables import print_report

    print_report(report, console())


@contextmanager
def _progress() -> Iterator[Tell]:
    """On stderr: a bar on a terminal, elsewhere a line when something else begins."""
    said = ""
    with progress_bar("starting") as (bar, task):

        def tell(what: str, done: int, total: int) -> None:
            nonlocal said
            bar.update(task, description=what, completed=done, total=total)
            if what != said and bar.disable:
                echo(f"{what} ...", err=True)
            said = what

        yield tell
