"""``awac-tr collect``: datasets from demonstrators, clones, noise and policies."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from awac_tr.cli.options import (
    BOUNDS_HELP,
    ENV_SET,
    TRUST_HELP,
    DependentOption,
    env_of,
    env_option,
    env_set_option,
    flag_of,
    given,
    json_option,
    pairs,
    quiet_option,
    refuse_idle_options,
    workers_option,
)
from awac_tr.cli.support import echo_json, examples
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.collect import CollectInterrupted, CollectReport, Plan

__all__ = ["command"]

_BESIDE_CARD = frozenset({"card", "out", "workers", "resume", "force", "as_json", "quiet"})
"""What can be said beside --card, which says the rest."""


def _only(*sources: str) -> Callable[..., Any]:
    """``click.option`` for what only these sources look at."""
    return partial(click.option, cls=DependentOption, needs="source", values=sources)


@click.command(
    "collect",
    epilog=examples(
        "awac-tr collect --source bc --n 500",
        "awac-tr collect --card pen-demos",
        "awac-tr collect --source demos --env pen-binary-v0 --n 25 --workers 2",
        "awac-tr collect --source bc --from door-human --out datasets/door-human-bc.hdf5",
        "awac-tr collect --source ou --env HalfCheetah-v5 --n 20 --theta 0.15 --sigma 0.3",
        "awac-tr collect --source bc --n 500 --resume",
        "awac-tr collect --source ou --env hammer.yaml --n 20",
        "awac-tr collect --source random --env Pendulum-v1 --env-set rescale_actions=true --env-set kwargs.g=5.0",
        "awac-tr collect --source policy --policy runs/NAME/checkpoints/best.pt --sample --n 100",
        "awac-tr collect --source policy --policy tqc_HalfCheetah.zip --env HalfCheetah-v5 --n 15",
    ),
)
@click.option("--source", type=click.Choice(["demos", "bc", "ou", "random", "policy"]), help="Who acts, see above.")
@click.option("--card", help="Collect what a dataset card says, instead of --source; for example door-bc.")
@click.option("--n", "n", type=click.IntRange(min=1), help="Episodes  [default: as the card, or 25, 500, 100].")
@env_option("Gymnasium id, or a recipe  [default: the checkpoint's, or the door].")
@env_set_option
@click.option("--seed", type=click.IntRange(min=0), help="Seed of it all  [default: as the card, or 0].")
@click.option("--out", type=click.Path(path_type=Path), help="File to make  [default: datasets/ENV-SOURCE.hdf5].")
@workers_option
@click.option("--horizon", type=click.IntRange(min=1), help="Steps before an episode is cut  [default: as registered].")
@_only("policy")("--policy", type=click.Path(path_type=Path), help=".pt, an expert's .npz, or SB3's .zip.")
@_only("policy")("--trust", is_flag=True, default=None, help=TRUST_HELP)
@_only("policy")("--allow-bounds-mismatch", is_flag=True, help=BOUNDS_HELP)
@_only("bc")("--from", "dataset", help="name or file to clone  [default: the environment's demonstrations].")
@_only("bc")(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="a setting of the clone, for example policy.hidden_sizes=[64,64].",
)
@_only("ou")("--theta", type=click.FloatRange(0, 1), help="pull to the middle per step  [default: 0.15].")
@_only("ou")("--sigma", type=click.FloatRange(min=0), help="deviation of the noise per step  [default: 0.3].")
@_only("demos", "bc", "policy")(
    "--sample/--mean",
    "sample",
    default=None,
    help="sample the policy, or not  [default: sample for bc].",
)
@_only("demos", "policy")("--action-noise", type=click.FloatRange(min=0), help="deviation of noise on the actions.")
@_only("demos", "policy")(
    "--label",
    type=click.Choice(["executed", "clean"]),
    help="actions written down; clean: without --action-noise, for cloning only  [default: executed].",
)
@click.option(
    "--state/--no-state", "record_state", default=None, help="Record the simulator's state, for replay  [default: yes]."
)
@click.option("--licence", help="Licence of the dataset  [default: that of what the source learnt from].")
@click.option("--description", default="", show_default=False, help="A sentence about the dataset.")
@click.option("--resume", is_flag=True, help="Go on with what an interrupted call left; if nothing, begin.")
@click.option("--force", is_flag=True, help="Replace the file if it exists, begin anew if it is unfinished.")
@json_option
@quiet_option
def command(
    *, source: Any, card: str | None, workers: int, resume: bool, force: bool, as_json: bool, quiet: bool, **said: Any
) -> None:
    """Collect a dataset of whole episodes into one HDF5 file.

    \b
    demos   the demonstrator packaged with awac-tr (pen, door, relocate, HalfCheetah, Walker2d, Ant)
    bc      a clone of a dataset, trained first and kept beside the file as NAME.clone.pt
    ou      Ornstein-Uhlenbeck noise
    random  uniform actions
    policy  a policy file, --policy

    The same seed gives the same content hash, whatever the number of workers, and however often it was interrupted:
    Ctrl-C (once) finishes the episode and keeps what there is in FILE.partial, and so does whatever else ends it; the
    same command with --resume goes on.
    """  # noqa: D301  (click reads the backspace as: keep these lines)
    _refuse_idle(source, card, policy=said["policy"])
    if resume and force:
        raise click.UsageError("--resume goes on with what is there, --force begins anew: give one of the two.")
    from awac_tr.collect import CollectInterrupted, collect
    from awac_tr.collect.display import CollectDisplay

    plan = _plan_of_card(card, said["out"]) if card is not None else _plan(source, **said)
    try:
        with CollectDisplay(quiet=quiet) as display:
            report = collect(
                plan,
                workers=workers,
                overwrite=force,
                resume=resume,
                on_episode=display.on_episode,
                on_check=display.on_check,
            )
    except CollectInterrupted as stopped:
        echo(*_way_on(stopped, plan.n), err=True)
        sys.exit(128 + stopped.signum)
    _show(report, plan, as_json=as_json)


def _way_on(stopped: CollectInterrupted, total: int) -> list[str]:
    """What to say after a signal."""
    if stopped.complete:
        return [f"interrupted; {stopped.out} is complete"]
    again = [argument for argument in sys.argv[1:] if argument not in ("--force", "--resume")]
    kept = f"Saved {stopped.episodes} of {total} episodes." if stopped.episodes else "Interrupted."
    return [f"{kept} Go on with:", f"  {shlex.join(['awac-tr', *again, '--resume'])}"]


def _refuse_idle(source: str | None, card: str | None, *, policy: Path | None) -> None:
    context = click.get_current_context()
    if (source is None) == (card is None):
        raise click.UsageError("give one of --source and --card, for example --source bc.")
    for option in given(context):
        if card is not None and option.name not in _BESIDE_CARD:
            raise click.UsageError(f"{flag_of(option)} has no effect with --card, which says it all.")
    refuse_idle_options(context)
    if source == "policy" and policy is None:
        raise click.UsageError("--source policy needs --policy FILE: a checkpoint, an expert's .npz, or SB3's .zip.")


def _plan_of_card(card: str, out: Path | None) -> Plan:
    from awac_tr.collect import plan_of_card
    from awac_tr.data.storage.paths import dataset_path
    from awac_tr.recipes.cards import load_card

    return plan_of_card(load_card(card), out or dataset_path(card))


def _plan(
    source: Any,
    *,
    env_id: str | None,
    policy: Path | None,
    sample: bool | None,
    settings: tuple[str, ...],
    env_set: tuple[str, ...],
    trust: bool | None,
    allow_bounds_mismatch: bool,
    **rest: Any,
) -> Plan:
    from dataclasses import replace

    from awac_tr.collect import plan

    noise = {name: rest.pop(name) for name in ("theta", "sigma", "action_noise", "label")}
    state, horizon = rest.pop("record_state"), rest.pop("horizon")
    if horizon is not None and any(change.startswith("horizon=") for change in env_set):
        raise click.UsageError(f"--horizon and {ENV_SET} horizon= say the same twice: give one of the two.")
    made = plan(
        source,
        env=env_of(env_id, env_set),
        policy=policy,
        allow_bounds_mismatch=allow_bounds_mismatch,
        trust=bool(trust),
        mode=None if sample is None else "sample" if sample else "mean",
        options={**_nested(settings), **{name: value for name, value in noise.items() if value is not None}},
        record_state=True if state is None else state,
        **rest,
    )
    if noise["label"] is not None and not getattr(made.settings, "action_noise", 0):
        raise click.UsageError("--label has no effect without --action-noise: executed and clean actions are the same.")
    return made if horizon is None else replace(made, env=made.env.model_copy(update={"horizon": horizon}))


def _nested(settings: Sequence[str]) -> dict[str, Any]:
    """``["bc.lr=1e-3"]`` -> ``{"bc": {"lr": 0.001}}``."""
    nested: dict[str, Any] = {}
    for key, value in pairs("--set", settings, "bc.lr=1e-3"):
        *sections, last = key.split(".")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    return nested


def _show(report: CollectReport, plan: Plan, *, as_json: bool) -> None:
    if as_json:
        echo_json({**asdict(report), "seed": plan.seed})
        return
    what = f"{report.episodes} of {report.env_id}, {report.transitions} transitions, by {report.policy}"
    echo(f"{report.path}")
    echo(f"  hash      {report.content_hash}")
    echo(f"  episodes  {what}, seed {plan.seed}")
    measures = report.measures
    if "success_any" in measures:
        success = f"{measures['success_any']:.1%} at any step, {measures['success_last']:.1%} at the last"
        echo(f"  success   {success}")
    echo(f"  return    {measures['return']:.1f} on average")
    echo(f"  took      {report.seconds:.1f} s, {report.steps_per_second:,.0f} environment steps/s")
    if report.clone is not None:
        echo(f"  clone     {report.clone}")
