"""``awac-tr eval``: measure a policy, and film it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from awac_tr.cli.environment import bounds_option, env_of, env_set_option
from awac_tr.cli.support import TRUST_HELP, echo_json, examples
from awac_tr.errors import plain
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.evaluate import Evaluation
    from awac_tr.video import Clip


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
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes; the numbers are the same for any.",
)
@click.option(
    "--video",
    is_flag=True,
    help="Film the best, the median and the worst episode (by return, then goal steps, then seed).",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=None,
    help="Folder for evaluation.json and the films. Default: no JSON file, films beside the checkpoint or in its run.",
)  # fmt: skip
@click.option(
    "--env", "env_id", default=None, metavar="ID|FILE",
    help="Environment, an id or a recipe, for files that do not name theirs (.npz, .zip).",
)  # fmt: skip
@env_set_option
@bounds_option
@click.option("--trust", is_flag=True, help=TRUST_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, with a row for each episode.")
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
    from awac_tr.evaluate import DEFAULT_SEED, evaluate

    with _progress(episodes) as advance:
        evaluation = evaluate(
            checkpoint,
            episodes=episodes,
            seed=DEFAULT_SEED if seed is None else seed,
            action="sample" if sample else "mean",
            workers=workers,
            env=env_of(env_id, env_set),
            trust=trust,
            allow_bounds_mismatch=allow_bounds_mismatch,
            on_episode=advance,
        )
    # The numbers come first: filming takes longer and may fail.
    if not as_json:
        _print(evaluation)
    clips = _film(evaluation, out) if video else []
    result = evaluation.to_json() | {"videos": [_clip_to_json(clip) for clip in clips]}
    if out is not None:
        _write(out / "evaluation.json", result)
    if as_json:
        echo_json(result)
    else:
        for clip in clips:
            echo(f"{clip.role:<7} seed {clip.seed}  return {clip.episode_return:g}  {clip.path}")


@contextmanager
def _progress(episodes: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A bar on stderr, where that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from awac_tr.utils.console import PlainConsole

    console = PlainConsole(err=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("episodes", total=episodes)
        yield lambda _row: bar.advance(task)


def _film(evaluation: Evaluation, out: Path | None) -> list[Clip]:
    """Films, or a message on stderr why there are none: the numbers stand either way."""
    from awac_tr.video import VideoError, film, video_folder

    try:
        clips = film(evaluation, out or video_folder(evaluation.checkpoint))
    except VideoError as error:
        echo(*f"No films: {error}".split("\n"), "The numbers are complete.", err=True)
        return []
    replaced = [clip.path.name for clip in clips if clip.replaced]
    if replaced:
        echo(f"Replaced older films: {', '.join(replaced)}.", err=True)
    return clips


def _clip_to_json(clip: Clip) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(clip) | {"path": str(clip.path)}


def _write(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON, under its name only when it is complete."""
    import json

    from awac_tr.errors import AwacError
    from awac_tr.utils.atomic import cannot_write, write_text

    try:
        write_text(path, json.dumps(result, indent=2) + "\n")
    except OSError as error:
        raise cannot_write(path, error, AwacError, done=" (--out)") from error
    echo(f"Wrote {path}", err=True)


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

    from awac_tr.utils.console import PlainConsole

    table = Table(box=None, padding=(0, 2, 0, 0))
    for header in ("measure", "mean", "bootstrap 95%", "Wilson 95%", ""):
        table.add_column(header, justify="left" if header in ("measure", "") else "right", no_wrap=True)
    for name in sorted(evaluation.measures, key=list(_MEANING).index):
        item = evaluation.measures[name]
        number = _percent if name.startswith("success") else _plain
        table.add_row(
            name,
            number(item.mean),
            "all equal" if item.unanimous else f"{number(item.low)} .. {number(item.high)}",
            "" if item.wilson is None else f"{number(item.wilson[0])} .. {number(item.wilson[1])}",
            _MEANING[name].format(goal_steps=evaluation.goal_steps),
        )
    console = PlainConsole()
    count = len(evaluation.episodes)
    console.print(plain(evaluation.checkpoint), soft_wrap=True)
    console.print(
        f"{plain(evaluation.env.id)}, {count} episode{'s' if count > 1 else ''}, {evaluation.action} action, "
        f"seeds {evaluation.seed}..{evaluation.seed + count - 1}, {evaluation.seconds:.1f} s\n",
        soft_wrap=True,
    )
    console.print(table)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _plain(value: float) -> str:
    return f"{value:.1f}"
