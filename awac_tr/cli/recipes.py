"""``awac-tr recipes``: the experiments that come with awac-tr, listed, shown, copied, checked."""

from __future__ import annotations

from pathlib import Path

import click

from awac_tr.cli.support import EXIT_USER, echo_json, examples

__all__ = ["command"]

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_COLUMNS = ("name", "env", "algorithm", "data", "purpose")


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
    """List, show, copy and check recipes and dataset cards.

    A recipe is a whole experiment in one YAML file; a dataset card says how a dataset is made.
    """


@command.command("list", epilog=examples("awac-tr recipes list", "awac-tr recipes list --json"))
@_json_option
def list_command(*, as_json: bool) -> None:
    """List the recipes that come with awac-tr."""
    from awac_tr.recipes.library import purpose, recipes
    from awac_tr.recipes.loader import load_recipe

    rows = []
    for name, path in recipes().items():
        recipe = load_recipe(path).recipe
        values = (name, recipe.env.id, recipe.algorithm, list(recipe.data.datasets), purpose(path))
        rows.append(dict(zip(_COLUMNS, values, strict=True)))
    if as_json:
        echo_json(rows)
        return
    cells = [[" ".join(cell) if isinstance(cell, list) else str(cell) for cell in row.values()] for row in rows]
    _echo_table([list(_COLUMNS), *cells])


@command.command(
    "show",
    epilog=examples(
        "awac-tr recipes show door",
        "awac-tr recipes show door --resolved",
        "awac-tr recipes show recipes/door.yaml --resolved awac.lmbda=1",
        "awac-tr recipes show door-bc",
    ),
)
@click.argument("name")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--resolved", is_flag=True, help="All keys of a recipe, with defaults, and where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print the resolved recipe as JSON.")
def show_command(*, name: str, overrides: tuple[str, ...], resolved: bool, as_json: bool) -> None:
    """Show a recipe or a dataset card, by name or path."""
    from awac_tr.recipes.library import find_any
    from awac_tr.recipes.loader import load_recipe, resolved_yaml

    if not (resolved or as_json or overrides):
        click.echo(find_any(name).read_text(encoding="utf-8"), nl=False)
        return
    loaded = load_recipe(name, overrides)
    if as_json:
        echo_json({"path": loaded.path, "recipe": loaded.recipe.model_dump(), "sources": loaded.sources})
    else:
        click.echo(resolved_yaml(loaded), nl=False)


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
    """Copy a recipe or a dataset card NAME to DEST, a file or a folder, to change it there."""
    from awac_tr.recipes.library import copy_file, find_any

    click.echo(copy_file(find_any(name), dest, force=force))


@command.command(
    "check", epilog=examples("awac-tr recipes check", "awac-tr recipes check recipes/mine.yaml datasets/door-bc.yaml")
)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@_json_option
@click.pass_context
def check_command(ctx: click.Context, *, paths: tuple[str, ...], as_json: bool) -> None:
    """Check recipes and dataset cards; without PATH all that come with awac-tr. Exit code 2 if one has mistakes."""
    from awac_tr.recipes.library import cards, recipes

    refs = paths or [str(path) for path in (*recipes().values(), *cards().values())]
    messages = {ref: _mistakes(ref) for ref in refs}
    if as_json:
        echo_json([{"path": ref, "ok": not message, "message": message} for ref, message in messages.items()])
    else:
        for ref, message in messages.items():
            click.echo(message or f"{ref}: ok")
    if any(messages.values()):
        ctx.exit(EXIT_USER)


def _mistakes(ref: str) -> str:
    """What is wrong with a recipe or card; empty when nothing is."""
    from awac_tr.errors import RecipeError
    from awac_tr.recipes.verify import verify

    try:
        verify(ref)
    except RecipeError as error:
        return str(error)
    return ""


def _echo_table(rows: list[list[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
