"""``awac-tr data validate``: everything that is wrong with a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from awac_tr.cli.data.shared import file_argument, json_option
from awac_tr.cli.support import echo_json, examples

__all__ = ["command"]

EXIT_FINDINGS: Final = 1
_COLOURS: Final = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command("validate", epilog=examples("awac-tr data validate door-bc", "awac-tr data validate other.hdf5 --json"))
@file_argument
@json_option
@click.pass_context
def command(ctx: click.Context, *, file: str, as_json: bool) -> None:
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
        ctx.exit(EXIT_FINDINGS)


def _verdict(path: Path, severities: Sequence[str]) -> str:
    counts = {word: severities.count(word) for word in ("error", "warning")}
    said = [f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts.items() if count]
    return f"{path}: {', '.join(said) or 'sound'}"
