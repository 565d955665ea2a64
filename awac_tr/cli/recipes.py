"""``awac-tr recipes``: the experiments that come with awac-tr, listed, shown, copied, checked."""

from __future__ import annotations

from pathlib import Path

import click

from awac_tr.cli.options import json_option, method_option
from awac_tr.cli.support import EXIT_USER, echo_json, examples
from awac_tr.utils.terminal import echo

__all__ = ["command"]

_TASK = ("task", "env", "algorithm", "data", "purpose")
_METHOD = ("method", "algorithm", "preset", "purpose")


@click.group(
    "recipes",
    epilog=examples(
        "awac-tr recipes list",
        "awac-tr recipes show door",
        "awac-tr recipes copy door recipes/mine.yaml",
        "awac-tr recipes check recipes/mine.yaml",
    ),
)
def command() -> None:
    """List, show, copy and check recipes, methods and dataset cards.

    A recipe is a whole experiment in one YAML file, which may begin from another by base: NAME and take its algorithm
    from a method by method: NAME; a dataset card says how a dataset is made.
    """


@command.command("list", epilog=examples("awac-tr recipes list", "awac-tr recipes list --json"))
@json_option
def list_command(*, as_json: bool) -> None:
    """List the recipes that come with awac-tr: tasks, and methods to train on any of them by --method."""
    from awac_tr.recipes.library import methods, purpose, recipes
    from awac_tr.recipes.loader import load_recipe

    found: dict[str, list[dict[str, object]]] = {"tasks": [], "methods": []}
    for name, path in recipes().items():
        recipe = load_recipe(path).recipe
        values = (name, recipe.env.id, recipe.algorithm.name, list(recipe.data.datasets), purpose(path))
        found["tasks"].append(dict(zip(_TASK, values, strict=True)))
    for name, path in methods().items():
        algorithm = load_recipe("door", method=path).recipe.algorithm
        found["methods"].append(
            dict(zip(_METHOD, (name, algorithm.name, algorithm.preset, purpose(path)), strict=True))
        )
    if as_json:
        echo_json(found)
        return
    _table(found["tasks"])
    echo("")
    _table(found["methods"])


def _table(found: list[dict[str, object]]) -> None:
    cells = [[" ".join(cell) if isinstance(cell, list) else str(cell) for cell in row.values()] for row in found]
    rows = [list(found[0]), *cells]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@command.command(
    "show",
    epilog=examples(
        "awac-tr recipes show door",
        "awac-tr recipes show door --resolved",
        "awac-tr recipes show door --method iql",
        "awac-tr recipes show recipes/door.yaml --resolved algorithm.temperature=1",
        "awac-tr recipes show door-bc",
    ),
)
@click.argument("name")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@method_option
@click.option("--resolved", is_flag=True, help="All keys of a recipe, with defaults, and where each value comes from.")
@json_option
def show_command(*, name: str, overrides: tuple[str, ...], method: str | None, resolved: bool, as_json: bool) -> None:
    """Show a recipe, a method or a dataset card, by name or path."""
    from awac_tr.recipes.library import find_any, read_text
    from awac_tr.recipes.loader import load_recipe, resolved_yaml

    if not (resolved or as_json or overrides or method):
        click.echo(read_text(find_any(name)), nl=False)  # noqa: TID251  (a whole text, line by line)
        return
    loaded = load_recipe(name, overrides, method=method)
    if as_json:
        echo_json({"path": loaded.path, "recipe": loaded.recipe.model_dump(), "sources": loaded.sources})
    else:
        click.echo(resolved_yaml(loaded), nl=False)  # noqa: TID251


@command.command(
    "copy",
    epilog=examples(
        "awac-tr recipes copy door recipes/mine.yaml", "awac-tr recipes copy door-bc datasets/door-bc.yaml --force"
    ),
)
@click.argument("name")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace DEST if it exists.")
def copy_command(*, name: str, dest: Path, force: bool) -> None:
    """Copy a recipe, a method or a dataset card NAME to DEST, a file or a folder, to change it there."""
    from awac_tr.recipes.library import copy_file, find_any

    echo(copy_file(find_any(name), dest, force=force))


@command.command(
    "check", epilog=examples("awac-tr recipes check", "awac-tr recipes check recipes/mine.yaml datasets/door-bc.yaml")
)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@json_option
@click.pass_context
def check_command(ctx: click.Context, *, paths: tuple[str, ...], as_json: bool) -> None:
    """Check recipes, methods and dataset cards; without PATH all that come with awac-tr.

    Exit code 2 if one has mistakes.
    """
    from awac_tr.recipes.library import cards, methods, recipes

    refs = paths or [str(path) for path in (*recipes().values(), *methods().values(), *cards().values())]
    # ours need nothing made to be known as sound: tests train them
    messages = {ref: _mistakes(ref, by_making=bool(paths)) for ref in refs}
    if as_json:
        echo_json([{"path": ref, "ok": not message, "message": message} for ref, message in messages.items()])
    else:
        for ref, message in messages.items():
            echo(*(message.split("\n") if message else [f"{ref}: ok"]))
    if any(messages.values()):
        ctx.exit(EXIT_USER)


def _mistakes(ref: str, *, by_making: bool) -> str:
    """What is wrong with a recipe or card; empty when nothing is."""
    from awac_tr.errors import AwacError
    from awac_tr.recipes.verify import verify

    try:
        path = verify(ref)
        if by_making:
            _require_measure(path)
    except AwacError as error:
        return str(error)
    return ""


def _require_measure(path: Path) -> None:
    """Refuse a measure that the environment does not have; no code that a recipe names is imported to find out."""
    from awac_tr.recipes.loader import load_recipe
    from awac_tr.recipes.verify import kind_of

    if kind_of(path) != "recipe":
        return
    recipe = load_recipe(path).recipe
    if recipe.checkpoint.measure not in (None, "return") and not recipe.env.code:
        from awac_tr.envs.env_info import env_info
        from awac_tr.envs.measures import chosen_measure

        chosen_measure(recipe.checkpoint.measure, env_info(recipe.env))
