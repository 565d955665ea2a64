"""``awac-tr data``: what a dataset file holds, whether it is sound, and files of others made into ours."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from awac_tr.cli.support import echo_json, examples

__all__ = ["command"]

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_file_argument = click.argument("file", metavar="FILE")

_EXIT_FINDINGS: Final = 1
_COLOURS: Final = {"error": "red", "warning": "yellow", "note": "cyan"}
_WIDE: Final = 200
_LIST_COLUMNS: Final = ("name", "env", "source", "episodes", "transitions", "size", "problem")


@click.group(
    "data",
    epilog=examples(
        "awac-tr data list",
        "awac-tr data info datasets/door-bc.hdf5",
        "awac-tr data validate datasets/door-bc.hdf5",
        "awac-tr data import door-v0_demos.pickle --env door-binary-v0 --out datasets/door-human.hdf5",
    ),
)
def command() -> None:
    """Look at datasets, check them, import those of others.

    FILE is a path, or the name of a dataset in the folder of datasets ($AWAC_TR_DATA, else ./datasets).
    """


@command.command("info", epilog=examples("awac-tr data info door-bc", "awac-tr data info other.hdf5 --json"))
@_file_argument
@_json_option
def info_command(*, file: str, as_json: bool) -> None:
    """Show where a dataset comes from, its sizes, ranges and success."""
    from awac_tr.data.paths import dataset_path
    from awac_tr.data.stats import dataset_info

    info = dataset_info(dataset_path(file))
    if as_json:
        echo_json(info)
        return
    _echo_table(str(info["path"]), ("", ""), _origin(info))
    _echo_table("arrays", ("name", "type", "shape", "min", "max"), [_array_row(array) for array in info["arrays"]])
    columns = ("per episode", "mean", "std", "min", "max")
    measures = [(name, *(f"{value:.4g}" for value in found.values())) for name, found in info["measures"].items()]
    _echo_table("measures", columns, measures)


def _origin(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rows of the first table; what the file does not say is left out."""
    meta = info["meta"]
    parents = ", ".join(f"{parent['name']} ({parent['hash'][:19]})" for parent in meta["parents"])
    rows = {
        "environment": meta["env_id"] or "unknown",
        "arguments": meta["env_kwargs"] or None,
        "horizon": meta["horizon"],
        "source": meta["source"],
        "policy": meta["policy"],
        "seed": meta["seed"],
        "parents": parents,
        "licence": meta["licence"],
        "description": meta["description"],
        "format": f"{info['format_version']}" if info["format_version"] else "D4RL-flat, not written by awac-tr",
        "created": info["created"],
        "versions": ", ".join(f"{name} {version}" for name, version in info["versions"].items()),
        "content hash": info["content_hash"],
        "size": _bytes(info["bytes"]),
        "episodes": f"{info['episodes']:,}: {info['terminals']:,} terminal, {info['timeouts']:,} cut",
        "transitions": f"{info['transitions']:,}",
    }
    return [(name, str(value)) for name, value in rows.items() if value not in (None, "")]


def _array_row(array: Mapping[str, Any]) -> tuple[str, ...]:
    shape = " x ".join(str(size) for size in array["shape"])
    return (array["name"], array["dtype"], shape, f"{array['min']:.4g}", f"{array['max']:.4g}")


@command.command(
    "validate", epilog=examples("awac-tr data validate door-bc", "awac-tr data validate other.hdf5 --json")
)
@_file_argument
@_json_option
@click.pass_context
def validate_command(ctx: click.Context, *, file: str, as_json: bool) -> None:
    """Look for everything that is wrong with a dataset.

    Exit code 0: it is sound (there may be notes); 1: errors or warnings were found; 2: it cannot be read.
    """
    from awac_tr.data.paths import dataset_path
    from awac_tr.data.validate import validate

    path = dataset_path(file)
    findings = validate(path)
    if as_json:
        echo_json({"path": path, "findings": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            label = click.style(finding.severity, fg=_COLOURS[finding.severity])
            click.echo(f"{label} {finding.code}: {finding.where}: {finding.message}")
            if finding.remedy:
                click.echo(f"  {finding.remedy}")
        click.echo(_verdict(path, [finding.severity for finding in findings]))
    if any(finding.severity != "note" for finding in findings):
        ctx.exit(_EXIT_FINDINGS)


def _verdict(path: Path, severities: Sequence[str]) -> str:
    counts = {word: severities.count(word) for word in ("error", "warning")}
    said = [f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts.items() if count]
    return f"{path}: {', '.join(said) or 'sound'}"


@command.command(
    "import",
    epilog=examples(
        "awac-tr data import door-v0_demos.pickle --env door-binary-v0 --out datasets/door-human.hdf5",
        "awac-tr data validate datasets/door-human.hdf5",
    ),
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--format",
    expose_value=False,  # there is one so far; commands on dataset cards name it
    type=click.Choice(["hand_dapg"]),
    default="hand_dapg",
    show_default=True,
    help="What FILE is.",
)
@click.option("--env", "env_id", required=True, help="Environment whose rewards, bounds and sizes apply.")
@click.option("--out", required=True, help="Dataset to make: a path, or a name in the folder of datasets.")
@click.option("--licence", default="", help="Licence of the demonstrations, noted in the dataset.")
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
@_json_option
def import_command(*, file: Path, env_id: str, out: str, licence: str, force: bool, as_json: bool) -> None:
    """Make a dataset of hand_dapg's pickled demonstrations.

    Nothing of the pickle is run. Rewards are the environment's own, computed from the recorded observations; actions
    are clipped to the bounds; the last row of every episode is dropped, since its next observation was not recorded.
    """
    from awac_tr.data.hand_dapg import import_hand_dapg
    from awac_tr.data.paths import dataset_path

    report = import_hand_dapg(file, dataset_path(out), env_id, overwrite=force, licence=licence)
    if as_json:
        echo_json(vars(report))
    else:
        click.echo(
            f"{report.path}: {report.episodes} episodes, {report.transitions:,} transitions, {report.content_hash}"
        )


@command.command("list", epilog=examples("awac-tr data list", "awac-tr data list runs/data --json"))
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@_json_option
def list_command(*, folder: Path | None, as_json: bool) -> None:
    """List the datasets in FOLDER, by default the folder of datasets."""
    from awac_tr.data.paths import dataset_folder
    from awac_tr.data.stats import list_datasets

    folder = folder or dataset_folder()
    entries = list_datasets(folder)
    if as_json:
        echo_json(entries)
    elif entries:
        _echo_table(str(folder), _LIST_COLUMNS, [_list_row(entry) for entry in entries])
    else:
        click.echo(f"{folder}: no datasets; awac-tr collect makes one")


def _list_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = ("" if entry[name] is None else f"{entry[name]:,}" for name in ("episodes", "transitions"))
    texts = (entry["name"], entry["env_id"] or "", entry["source"] or "")
    return (*texts, *numbers, _bytes(entry["bytes"]), entry["problem"])


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004  (the next unit begins)
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _echo_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; columns without a name get no header."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", show_header=any(columns), box=None)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # Where nobody looks at the width of a screen, lines stay whole for grep.
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)
