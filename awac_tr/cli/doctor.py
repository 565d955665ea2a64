"""``awac-tr doctor``: what this installation can do, and what to fix."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from awac_tr.cli.options import json_option
from awac_tr.cli.support import EXIT_FAULT, console, echo_json, examples

if TYPE_CHECKING:
    from awac_tr.doctor import Check

_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "broken": "bold red"}


@click.command(epilog=examples("awac-tr doctor", "awac-tr doctor --json"))
@json_option
def command(*, as_json: bool) -> None:
    """Report versions, simulator, drawing, GPU, processor and disk, and what to fix.

    Exit code 0 when awac-tr can be used here, 1 when something essential is broken.
    """
    from dataclasses import asdict

    from awac_tr.doctor import examine, usable

    checks = examine()
    fit = usable(checks)
    if as_json:
        echo_json({"usable": fit, "checks": [asdict(check) for check in checks]})
    else:
        _print(checks, fit=fit)
    sys.exit(0 if fit else EXIT_FAULT)


def _print(checks: Sequence[Check], *, fit: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for check in checks:
        table.add_row(Text(check.name), Text(check.level, style=_STYLES[check.level]), Text(check.finding))
    out = console()
    out.print(table)
    for check in checks:
        if check.remedy:
            out.print(
                Text(f"\n{check.name}: ", style=_STYLES[check.level]) + Text(f"to fix: {check.remedy}", style="default")
            )
    broken = ", ".join(check.name for check in checks if check.level == "broken")
    out.print("\nawac-tr can be used here." if fit else f"\nawac-tr cannot be used here: {broken}.")
