"""``awac-tr train``: from a recipe to a run folder, or on with one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from awac_tr.cli.options import method_option, quiet_option
from awac_tr.cli.support import examples
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.recipes.loader import LoadedRecipe

__all__ = ["command"]


@click.command(
    "train",
    epilog=examples(
        "awac-tr train recipes/quickstart.yaml",
        "awac-tr train recipes/door.yaml seed=1 online.steps=300000 --run runs/door-1",
        "awac-tr train door --method iql seed=1",
        "awac-tr train door buffer.storage=memmap --scratch /tmp",
        "awac-tr train --resume runs/door-1",
    ),
)
@click.argument("recipe", required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@method_option
@click.option(
    "--run", "run_dir", type=click.Path(path_type=Path), help="Run folder to make  [default: runs/RECIPE-TIME-SEED]."
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run that was stopped.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Disk for buffer.storage=memmap; nothing is left there  [default: that of the run].",
)
@click.option(
    "--deterministic", is_flag=True, help="Only algorithms that repeat themselves to the last bit: deterministic=true."
)
@quiet_option
def command(
    *, recipe: str | None, overrides: tuple[str, ...], method: str | None, run_dir: Path | None, resume: Path | None,
    scratch: Path | None, deterministic: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train a policy as RECIPE says: offline on its datasets, then online.

    RECIPE is a YAML file, or the name of a shipped one; KEY=VALUE changes a key of it, for example seed=3. Datasets
    that are missing are made from their cards. Ctrl-C saves a checkpoint and says how to go on; a second one stops at
    once. The run folder is printed on stdout.
    """
    from awac_tr.recipes.loader import load_recipe

    overrides = (*overrides, "deterministic=true") if deterministic else overrides
    if resume is not None:
        if method is not None:
            raise click.UsageError("--resume takes its recipe from the run: --method is for a new one.")
        changes = [text for text in (recipe, *overrides) if text is not None]
        _train(_recipe_of(resume, changes, run_dir), run_dir=None, resume=resume, scratch=scratch, quiet=quiet)
        return
    if recipe is None:
        raise click.UsageError("give a RECIPE, for example recipes/quickstart.yaml, or --resume RUN.")
    _train(load_recipe(recipe, overrides, method=method), run_dir=run_dir, resume=None, scratch=scratch, quiet=quiet)


def _recipe_of(run: Path, changes: list[str], run_dir: Path | None) -> LoadedRecipe:
    """The recipe that a run folder holds, with changes."""
    from awac_tr.recipes.loader import load_recipe
    from awac_tr.training.run_folder import RunFolder

    if run_dir is not None:
        raise click.UsageError("--run makes a new folder and --resume goes on with one: give one of the two.")
    RunFolder(run).require_run()
    wrong = [text for text in changes if "=" not in text]
    if wrong:
        raise click.UsageError(f"--resume takes its recipe from the run; {wrong[0]!r} is no KEY=VALUE.")
    return load_recipe(run / "recipe.yaml", changes)


def _train(
    loaded: LoadedRecipe, *, run_dir: Path | None, resume: Path | None, scratch: Path | None, quiet: bool
) -> None:
    from awac_tr.collect import CollectInterrupted, ensure_datasets
    from awac_tr.collect.display import CollectDisplay
    from awac_tr.envs.env_info import env_info
    from awac_tr.training.interrupt import TrainingInterrupted
    from awac_tr.training.run_folder import RunFolder
    from awac_tr.training.train import train

    if scratch is not None and loaded.recipe.buffer.storage != "memmap":
        raise click.UsageError("--scratch has no effect without buffer.storage=memmap.")
    if run_dir is not None:
        RunFolder.require_new(run_dir)
    # an unknown task is said before datasets are made for it
    env_info(loaded.recipe.env)
    try:
        with CollectDisplay(quiet=quiet) as display:
            ensure_datasets(loaded.recipe.data.datasets, on_episode=display.on_episode, on_check=display.on_check)
    except CollectInterrupted as stopped:
        kept = f"Saved {stopped.episodes} episodes of {stopped.out}."
        echo(f"{kept} The same command goes on from there.", err=True)
        sys.exit(128 + stopped.signum)
    try:
        echo(train(loaded, run_dir=run_dir, resume=resume, scratch=scratch, quiet=quiet))
    except TrainingInterrupted as stopped:
        echo("Saved. Go on with:", f"  awac-tr train --resume {stopped.run}", err=True)
        sys.exit(128 + stopped.signum)
