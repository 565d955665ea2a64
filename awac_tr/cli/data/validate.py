"""``awac-tr data validate``: everything that is wrong with datasets, and mended copies of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from awac_tr.cli.options import (
    DependentOption,
    env_option,
    files_argument,
    json_option,
    named_env,
    refuse_idle_options,
    trust_option,
)
from awac_tr.cli.support import echo_json, examples
from awac_tr.data.storage.paths import dataset_path
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.data.format.findings import Finding
    from awac_tr.data.validation.fix import FixReport
    from awac_tr.recipes.schema import EnvSection

__all__ = ["command"]

EXIT_FINDINGS: Final = 1
_COLOURS: Final = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command(
    "validate",
    epilog=examples(
        "awac-tr data validate door-bc",
        "awac-tr data validate door-demos door-bc --json",
        "awac-tr data validate hopper-medium.hdf5 --env Hopper-v5",
        "awac-tr data validate rig.hdf5 --fix --out datasets/rig-mended.hdf5",
    ),
)
@files_argument
@env_option("Hold the rows against this one, an id or a recipe  [default: the one the file names].")
@trust_option
@click.option("--strict", is_flag=True, help="Notes count as findings, too.")
@click.option("--fix", "mend", is_flag=True, help="Write a copy with everything mended that can be with certainty.")
@click.option(
    "--out",
    cls=DependentOption,
    needs="mend",
    type=dataset_path,
    metavar="FILE",
    help="The mended copy: a path, or a name in the folder of datasets  [default: FILE-mended.hdf5].",
)
@click.option("--force", cls=DependentOption, needs="mend", is_flag=True, help="Replace --out if it exists.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, *, files: tuple[Path, ...], env_id: str | None, trust: bool, strict: bool, mend: bool,
    out: Path | None, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Look for everything that is wrong with datasets, of awac-tr or D4RL-flat ones of others.

    Ends in the wrong row, timeouts stored as terminals, states from after the reset, rewards of another task or of the
    row before, raw or clipped actions, copies, NaN: for each, where, what it does to training, and how to mend it
    (docs/validation.md). Several files are looked at together: episodes that lie in two of them are found.

    --fix never changes FILE; it refuses what nobody can mend with certainty, by name. With it, the exit code is that of
    the copy.

    Exit code 0: sound (there may be notes); 1: errors or warnings were found; 2: a file cannot be read.
    """
    from awac_tr.data.validation.validate import validate_files

    refuse_idle_options(ctx)
    if mend and len(files) > 1:
        raise click.UsageError("--fix mends one FILE at a time")
    env = named_env(env_id)
    looked_at: list[tuple[Path, list[Finding]]] = []
    for path, findings in validate_files(files, env=env, trust=trust):
        looked_at.append((path, findings))
        if not as_json:
            _show(path, findings)
    report, refusal = _mend(looked_at[0], env, out, trust=trust, force=force) if mend else (None, "")
    if as_json:
        echo_json(_plain(looked_at, report, refusal))
    elif report is not None:
        _show_report(report)
    if refusal:
        echo(*f"not mended: {refusal}".split("\n"), err=True)
    if _is_bad(looked_at, report, strict=strict):
        ctx.exit(EXIT_FINDINGS)


def _show(path: Path, findings: Sequence[Finding]) -> None:
    for finding in findings:
        said = f" {finding.code}: {finding.where}: {finding.message}"
        echo(said, label=finding.severity, colour=_COLOURS[finding.severity])
        if finding.steps:
            more = ", ..." if finding.count > len(finding.steps) else ""
            places = ", ".join(f"{episode}:{step}" for episode, step in finding.steps)
            echo(f"  at (episode:step) {places}{more}")
        if finding.severity != "note":
            echo(f"  {finding.harm}".rstrip())
            echo(f"  {finding.remedy}{' --fix can do it.' if finding.fixable else ''}")
    counts = Counter(finding.severity for finding in findings)
    counted = [
        f"{counts[word]} {word}{'s' if counts[word] > 1 else ''}" for word in ("error", "warning") if counts[word]
    ]
    echo(f"{path}: {', '.join(counted) or 'sound'}")


def _mend(
    looked_at: tuple[Path, list[Finding]], env: EnvSection | None, out: Path | None, *, trust: bool, force: bool
) -> tuple[FixReport | None, str]:
    """The report, or why the file is refused; trouble with writing the copy is an error like any other."""
    from awac_tr.data.validation.fix import fix
    from awac_tr.data.validation.fix_plan import RefusalError

    try:
        return fix(looked_at[0], out, env=env, trust=trust, overwrite=force), ""
    except RefusalError as error:
        return None, str(error)


def _show_report(report: FixReport) -> None:
    if report.path is None:
        left = ", ".join(finding.code for finding in report.left)
        echo("nothing to mend" + (f" with certainty ({left})" if left else "") + "; no copy was written")
        return
    for change in report.changes:
        echo(f"  mended: {change}")
    _show(report.path, report.left)
    echo(f"  hash    {report.content_hash}", f"  parent  {report.parent}")


def _plain(
    looked_at: Sequence[tuple[Path, Sequence[Finding]]], report: FixReport | None, refusal: str
) -> dict[str, Any]:
    """One file as it is, several under ``files``."""
    files = [{"path": path, "findings": [one.as_dict() for one in findings]} for path, findings in looked_at]
    plain: dict[str, Any] = files[0] if len(files) == 1 else {"files": files}
    if report is not None:
        plain["mended"] = {**vars(report), "left": [finding.as_dict() for finding in report.left]}
    if refusal:
        plain["refused"] = refusal
    return plain


def _is_bad(looked_at: Sequence[tuple[Path, Sequence[Finding]]], report: FixReport | None, *, strict: bool) -> bool:
    if report is not None and report.path is not None:
        return bool(report.left)
    return any(strict or finding.severity != "note" for _, findings in looked_at for finding in findings)
