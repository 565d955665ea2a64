"""``awac-tr data replay``: the recorded actions in the installed simulator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from awac_tr.cli.options import env_option, file_argument, json_option, named_env, trust_option
from awac_tr.cli.support import echo_json, echo_table, examples
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.replay import EpisodeReplay, ReplayReport

__all__ = ["command"]

EXIT_DEPARTS: Final = 1
_SHOWN: Final = 20


@click.command(
    "replay",
    epilog=examples(
        "awac-tr data replay door-demos",
        "awac-tr data replay door-human --episodes 0-9 --tolerance 0.1",
        "awac-tr data replay door-demos --episodes 3,7 --video replays",
        "awac-tr data replay other.hdf5 --env HalfCheetah-v5 --json",
    ),
)
@file_argument
@click.option("--episodes", metavar="LIST", help="Episodes to replay, as 0-9 or 3,7,20-24  [default: all].")
@env_option("Simulator, an id or a recipe  [default: the one the file names].")
@trust_option
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=1e-4,
    show_default=True,
    help="Largest difference of an observation or a reward that still agrees.",
)
@click.option(
    "--rows/--no-rows",
    default=True,
    help="Where it departs, play each action from its own recorded state too  [default: yes].",
)
@click.option("--video", "films", type=click.Path(path_type=Path), metavar="DIR", help="Film the replays into DIR.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, *, file: Path, episodes: str | None, env_id: str | None, trust: bool, tolerance: float,
    rows: bool, films: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Play the recorded actions in the installed simulator: does FILE belong to it?

    An episode begins with its seed, else in its recorded state, else in what its import kept of one. Then states,
    rewards, success and ends are compared with the record. Where they depart and the simulator's states were recorded,
    every row is played by itself too: that tells the rows that are wrong from a sum that drifts.

    Exit code 0: it agrees; 1: it departs; 2: it cannot be read or replayed.
    """
    from awac_tr.envs.gl import use_backend

    if films is not None:
        use_backend()
    from awac_tr.replay import replay

    report = replay(
        file,
        episodes=None if episodes is None else _numbers(episodes),
        env=named_env(env_id),
        trust=trust,
        tolerance=tolerance,
        row_by_row=rows,
        films=films,
    )
    if as_json:
        echo_json(report.as_json())
    else:
        _show(report)
    if not report.agrees:
        ctx.exit(EXIT_DEPARTS)


def _numbers(text: str) -> list[int]:
    """``0-2,7`` -> ``[0, 1, 2, 7]``."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise click.BadParameter(
                f"{text!r} is no list of episodes, such as 0-9 or 3,7,20-24.", param_hint="--episodes"
            )
        found += range(int(first), int(last if dash else first) + 1)
    if not found:
        raise click.BadParameter(f"{text!r} names no episode.", param_hint="--episodes")
    return list(dict.fromkeys(found))


def _show(report: ReplayReport) -> None:
    shown = _worth_showing(report.episodes)
    columns = ("episode", "steps", "start", "departs at", "apart by", "rewards", "return", "success", "rows")
    echo_table(f"{report.path} in {report.env_id}", columns, [_row(one) for one in shown])
    if len(shown) < len(report.episodes):
        echo(f"... and {len(report.episodes) - len(shown):,} more; --json has all")
    echo()
    echo(*_summary(report))
    verdict = f"   {report.path.name} {report.verdict}"
    echo(verdict, label="verdict", colour="green" if report.agrees else "red")
    for film in report.films:
        echo(f"film      {film}")


def _worth_showing(episodes: tuple[EpisodeReplay, ...]) -> list[EpisodeReplay]:
    """All where they are few, else those that depart first."""
    if len(episodes) <= _SHOWN:
        return list(episodes)
    worst = sorted(episodes, key=lambda one: one.agrees)[:_SHOWN]
    return sorted(worst, key=lambda one: one.index)


def _row(one: EpisodeReplay) -> tuple[str, ...]:
    if not one.possible:
        return (str(one.index), str(one.steps), "none", *[""] * 6)
    success = "" if one.success_recorded is None else f"{_yes(one.success_recorded)} / {_yes(one.success_replayed)}"
    rewards = f"{one.reward_departures} of {one.played} differ" if one.reward_departures else "agree"
    rows = f"{len(one.row_departures)} of {one.rows_checked} differ" if one.row_departures else "agree"
    return (
        str(one.index),
        str(one.steps) if one.played == one.steps else f"{one.played} of {one.steps}",
        one.start,
        "-" if one.first_departure is None else f"step {one.first_departure}",
        f"{one.state_error:.2g}",
        rewards,
        f"{one.return_recorded:.5g} / {one.return_replayed:.5g}",
        success,
        rows if one.rows_checked else "",
    )


def _yes(value: bool | None) -> str:  # noqa: FBT001  (a value to be shown)
    return "?" if value is None else "yes" if value else "no"


def _summary(report: ReplayReport) -> list[str]:
    totals = report.totals
    played = f"{totals['played']:,} of {totals['episodes']:,} episodes, {totals['steps']:,} steps"
    lines = [
        f"played    {played}: {totals['exact']:,} to the last bit, {totals['agree']:,} within {report.tolerance:g}"
    ]
    success = (
        f", success in {totals['success_agrees']:,} of {totals['success_told']:,}" if totals["success_told"] else ""
    )
    rewards = f"{totals['steps'] - totals['reward_departures']:,} of {totals['steps']:,} agree"
    lines.append(f"rewards   {rewards}; the last one in {totals['last_reward_agrees']:,} episodes{success}")
    if report.recorded:
        shared = [name for name in ("mujoco", "gymnasium", "gymnasium_robotics") if name in report.recorded]
        lines.append("made with " + ", ".join(f"{name} {report.recorded[name]}" for name in shared))
        lines.append("played in " + ", ".join(f"{name} {report.installed.get(name, 'absent')}" for name in shared))
    lines += [f"note      {remark}" for remark in report.remarks]
    return lines
