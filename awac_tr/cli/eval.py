"""``awac-tr eval``: measure a policy, and film it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from awac_tr.cli.options import (
    TRUST_HELP,
    bounds_option,
    env_of,
    env_option,
    env_set_option,
    json_option,
    workers_option,
)
from awac_tr.cli.support import console, echo_json, examples, progress_bar
from awac_tr.errors import AwacError, plain
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.evaluation.evaluate import Evaluation
    from awac_tr.video.film import Clip


@click.command(
    epilog=examples(
        "awac-tr eval runs/NAME/checkpoints/best.pt",
        "awac-tr eval runs/NAME/checkpoints/best.pt --episodes 200 --workers 4 --json",
        "awac-tr eval runs/NAME/checkpoints/last.pt --video",
        "awac-tr eval expert.npz --env door-binary-v0",
        "awac-tr eval runs/NAME/checkpoints/best.pt --env hammer.yaml",
        "awac-tr eval runs/NAME/checkpoints/best.pt --env-set horizon=500",
        "awac-tr eval tqc_HalfCheetah.zip --env HalfCheetah-v5",
    )
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--episodes", type=click.IntRange(min=1), default=50, show_default=True, help="How many episodes.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=None,
    help="Seed of the first episode; the others follow by one. Default: that of evaluations during training, 1000000.",
)  # fmt: skip
@click.option("--sample", is_flag=True, help="Draw actions from the policy instead of taking its mean.")
@workers_option
@click.option(
    "--video",
    is_flag=True,
    help="Film the best, the median and the worst episode (by return, then goal steps, then seed).",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=None,
    help="Folder for evaluation.json and the films. Default: no JSON file, films beside the checkpoint or in its run.",
)  # fmt: skip
@env_option("Environment, an id or a recipe, for files that do not name theirs (.npz, .zip).")
@env_set_option
@bounds_option
@click.option("--trust", is_flag=True, help=TRUST_HELP)
@json_option
def command(
    *, checkpoint: Path, episodes: int, seed: int | None, sample: bool, workers: int, video: bool, out: Path | None,
    env_id: str | None, env_set: tuple[str, ...], allow_bounds_mismatch: bool, trust: bool, as_json: bool,
) -> None:  # fmt: skip
    """Measure the policy in CHECKPOINT: success in four senses, return and length.

    CHECKPOINT is a .pt file of a run, an expert's arrays (.npz, with --env), or a policy saved by Stable-Baselines3
    (.zip, with --env).

    A checkpoint acts where it was trained; --env-set changes single keys of that, and what differs is said. Its actions
    are converted where units differ (rescale_actions), and other bounds are refused.
    """
    from awac_tr.envs.gl import use_backend

    # before mujoco is imported: it reads the choice then
    if video:
        use_backend()
    from awac_tr.evaluation.evaluate import DEFAULT_SEED, evaluate

    with progress_bar("episodes", episodes) as (bar, task):
        evaluation = evaluate(
            checkpoint,
            episodes=episodes,
            seed=DEFAULT_SEED if seed is None else seed,
            action="sample" if sample else "mean",
            workers=workers,
            env=env_of(env_id, env_set),
            trust=trust,
            allow_bounds_mismatch=allow_bounds_mismatch,
            on_episode=lambda _row: bar.advance(task),
        )
    # The numbers come first: filming takes longer and may fail.
    if not as_json:
        _print(evaluation)
    clips = _film(evaluation, out) if video else []
    result = evaluation.to_json() | {"videos": [asdict(clip) | {"path": str(clip.path)} for clip in clips]}
    if out is not None:
        from awac_tr.utils.atomic import write_text

        path = out / "evaluation.json"
        write_text(path, json.dumps(result, indent=2) + "\n", AwacError, done=" (--out)")
        echo(f"Wrote {path}", err=True)
    if as_json:
        echo_json(result)
    else:
        for clip in clips:
            echo(f"{clip.role:<7} seed {clip.seed}  return {clip.episode_return:g}  {clip.path}")


def _film(evaluation: Evaluation, out: Path | None) -> list[Clip]:
    """Films, or a message on stderr why there are none: the numbers stand either way."""
    from awac_tr.video.film import film, video_folder
    from awac_tr.video.mp4 import VideoError

    try:
        clips = film(evaluation, out or video_folder(evaluation.checkpoint))
    except VideoError as error:
        echo(*f"No films: {error}".split("\n"), "The numbers are complete.", err=True)
        return []
    replaced = [clip.path.name for clip in clips if clip.replaced]
    if replaced:
        echo(f"Replaced older films: {', '.join(replaced)}.", err=True)
    return clips


_MEANING = {
    "success_any": "at any step",
    "success_last": "at the last step",
    "success_share": "share of steps",
    "success_steps": "at more than {goal_steps} steps",
    "return": "undiscounted",
    "length": "steps",
}


def _print(evaluation: Evaluation) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for header in ("measure", "mean", "bootstrap 95%", "Wilson 95%", ""):
        table.add_column(header, justify="left" if header in ("measure", "") else "right", no_wrap=True)
    for name in sorted(evaluation.measures, key=list(_MEANING).index):
        item = evaluation.measures[name]
        form = "{:.1%}" if name.startswith("success") else "{:.1f}"
        span = form + " .. " + form
        table.add_row(
            name,
            form.format(item.mean),
            "all equal" if item.unanimous else span.format(item.low, item.high),
            "" if item.wilson is None else span.format(*item.wilson),
            _MEANING[name].format(goal_steps=evaluation.goal_steps),
        )
    count = len(evaluation.episodes)
    echo(
        evaluation.checkpoint,
        f"{plain(evaluation.env.id)}, {count} episode{'s' if count > 1 else ''}, {evaluation.action} action, "
        f"seeds {evaluation.seed}..{evaluation.seed + count - 1}, {evaluation.seconds:.1f} s",
        "",
    )
    console().print(table)
