"""``awac-tr envs``: ours, those of the recipes, all that Gymnasium knows of; and all there is to know of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from awac_tr.cli.options import DependentOption, env_set_option, json_option, pairs, refuse_idle_options
from awac_tr.cli.support import echo_json, echo_table, examples
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.envs.describe.catalogue import Entry
    from awac_tr.envs.describe.describe import EnvDescription
    from awac_tr.envs.describe.space_description import SpaceDescription

__all__ = ["command"]

_COLUMNS: Final = ("id", "horizon", "observation", "action", "reward", "recipes")
_SIZE: Final = "480x360"
_FEW: Final = 12

_of_picture = partial(click.option, cls=DependentOption, needs="picture")


@click.group(
    "envs",
    epilog=examples(
        "awac-tr envs list",
        "awac-tr envs show door-binary-v0",
        "awac-tr envs show HalfCheetah-v5 --picture cheetah.png --speed",
    ),
)
def command() -> None:
    """List environments, and show what one sees, does, pays and looks like.

    Any registered Gymnasium environment with continuous actions can be trained in.
    """


@command.command(
    "list", epilog=examples("awac-tr envs list", "awac-tr envs list --all", "awac-tr envs list push --all")
)
@click.argument("text", default="")
@click.option("--all", "everything", is_flag=True, help="Also what else is registered and may have continuous actions.")
@json_option
def list_command(*, text: str, everything: bool, as_json: bool) -> None:
    """List environments whose id contains TEXT: those of awac-tr first, then those its recipes use.

    Observation and action are numbers of entries, horizon is steps. Of what --all adds nothing is made, so only the
    registered horizon is known; awac-tr envs show ID tells the rest.
    """
    from awac_tr.envs.describe.catalogue import catalogue

    entries = catalogue(text, everything=everything)
    if as_json:
        echo_json([asdict(entry) for entry in entries])
    elif entries:
        echo_table("environments", _COLUMNS, [_row(entry) for entry in entries])
    else:
        echo(f"no id contains {text!r}" + ("" if everything else "; --all looks at everything registered"))


def _row(entry: Entry) -> tuple[str, ...]:
    numbers = (entry.horizon, entry.observation_size, entry.action_size)
    shown = ("" if number is None else f"{number}" for number in numbers)
    return (entry.id, *shown, entry.reward, ", ".join(entry.recipes))


@command.command(
    "show",
    epilog=examples(
        "awac-tr envs show door-binary-v0",
        "awac-tr envs show door-binary-v0 --env-set kwargs.hinge=1.35",
        "awac-tr envs show recipes/door.yaml --json",
        "awac-tr envs show Ant-v5 --picture ant.png --camera azimuth=45 --camera distance=6",
        "awac-tr envs show AdroitHandHammer-v1 --speed",
    ),
)
@click.argument("env", metavar="ID")
@env_set_option
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw the start of an episode: a PNG.")
@_of_picture("--size", help=f"Of the picture, WIDTHxHEIGHT  [default: {_SIZE}].")
@_of_picture("--seed", type=click.IntRange(min=0), help="Of the episode in the picture  [default: 0].")
@_of_picture(
    "--camera",
    multiple=True,
    metavar="KEY=VALUE",
    help="Move a MuJoCo camera: distance (m), azimuth, elevation (degrees), lookat ([x, y, z]).",
)
@click.option("--speed", is_flag=True, help="Measure steps a second for two seconds, with random actions.")
@json_option
def show_command(
    *, env: str, env_set: tuple[str, ...], picture: Path | None, speed: bool, as_json: bool, **drawn: Any
) -> None:
    """Show spaces, horizon, reward and end of the environment ID, what goes with it, and how to make it.

    ID is any Gymnasium id, module:id where a module has to be imported first, or a YAML file with a section env. With
    --json, null stands for a bound that is not there.
    """
    refuse_idle_options(click.get_current_context())
    if picture is not None and picture.suffix.lower() != ".png":
        raise click.UsageError(f"--picture makes a PNG; {picture} should end in .png.")
    if picture is not None:
        from awac_tr.envs.gl import use_backend

        use_backend()  # before mujoco is imported: it reads the choice then
    from awac_tr.envs.describe.describe import describe
    from awac_tr.recipes.env_files import env_with, read_env

    described = describe(env_with(read_env(env), env_set))
    found: dict[str, Any] = {"datasets": _datasets(described.id)}
    if not as_json:
        echo_table(
            described.id, ("", ""), [(name, words) for name, words in _facts(described, found["datasets"]) if words]
        )
        if described.observation.parts:
            echo_table("observation", ("entries", ""), _entry_rows(described.observation))
    if picture is not None:
        from awac_tr.video.camera import draw_still

        size, camera = _pixels(drawn["size"] or _SIZE), dict(pairs("--camera", drawn["camera"], "azimuth=45"))
        found["picture"] = asdict(draw_still(described.env, picture, seed=drawn["seed"] or 0, size=size, camera=camera))
    if speed:
        found["speed"] = _measure(described)
    if as_json:
        echo_json({**asdict(described), "env": described.env.to_plain(), **found})
    else:
        _echo_extras(found)


def _datasets(env_id: str) -> list[str]:
    """Names of the dataset files here that were recorded in this environment."""
    from awac_tr.data.storage.listing import list_datasets
    from awac_tr.data.storage.paths import dataset_folder

    folder = dataset_folder()
    return [entry["name"] for entry in list_datasets(folder, env=env_id)] if folder.is_dir() else []


def _pixels(size: str) -> tuple[int, int]:
    width, sign, height = size.lower().partition("x")
    if not (sign and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise click.UsageError(f"--size {size}: expected WIDTHxHEIGHT, for example {_SIZE}.")
    return int(width), int(height)


def _measure(described: EnvDescription) -> dict[str, dict[str, float]]:
    """Steps a second of the bare environment and, where it can be trained in, of what a policy steps."""
    from awac_tr.envs.describe.speed import measure_speed
    from awac_tr.envs.make import make_bare, make_env

    with ExitStack() as opened:
        envs = {"raw": make_bare(described.env)}
        opened.callback(envs["raw"].close)
        if described.trainable:
            envs["awac-tr"] = make_env(described.env)
            opened.callback(envs["awac-tr"].close)
        return {name: asdict(found) for name, found in measure_speed(envs).items()}


def _echo_extras(found: dict[str, Any]) -> None:
    if "speed" in found:
        words = [
            f"{name} {one['wall']:,.0f} ({one['processor']:,.0f} a second of processor time)"
            for name, one in found["speed"].items()
        ]
        echo(f"steps/s, random actions, one core: {', '.join(words)}")
    if "picture" in found:
        still = found["picture"]
        size = "{} x {}".format(*still["size"])
        echo(f"{still['path']}  {size}, {still['bytes'] / 1000:.0f} kB" + ("  replaced" * still["replaced"]))


def _facts(env: EnvDescription, datasets: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield "task", env.task
    if not env.trainable:
        yield "awac-tr", "cannot train here: " + env.problem.replace("\n", ". ")
    elif env.problem:
        yield "trouble", env.problem.replace("\n", " ")
    yield "observation", _space_text(env.observation)
    yield "action", _space_text(env.action)
    yield "horizon", _horizon_text(env)
    if env.clock is not None:
        skip = f"{env.clock.frame_skip} simulator steps of {env.clock.timestep * 1000:.4g} ms"
        yield "a step", f"{env.clock.dt:.4g} s, so {env.clock.frequency:.4g} Hz: {skip}"
    yield "reward", env.reward
    yield "rewards", "{:g} to {:g}".format(*env.reward_range) if env.reward_range else ""
    yield "settings", ", ".join(f"{name} {_setting(value)}" for name, value in env.settings.items())
    yield "success", env.success
    if env.goal_steps is not None:
        yield "success_steps", f"an episode with more than {env.goal_steps} steps of success"
    yield "ends", env.end
    yield "goal", _goal_text(env)
    yield "info", ", ".join(env.info)
    yield "versions", ", ".join(f"{name} {version}" for name, version in env.versions.items())
    yield "recipes", ", ".join(name + _with(env.uses.kwargs.get(name)) for name in env.uses.recipes)
    yield "dataset cards", ", ".join(env.uses.cards)
    yield "datasets here", ", ".join(datasets)
    for line in env.python:
        yield "in Python", line


def _entry_rows(space: SpaceDescription) -> list[tuple[str, str]]:
    """The parts of a vector, a row each."""
    return [
        (str(part.start) if part.stop - part.start == 1 else f"{part.start}-{part.stop - 1}", part.name)
        for part in space.parts
    ]


def _bounds_text(low: Sequence[float], high: Sequence[float]) -> str:
    """Bounds of a vector in words.

    >>> _bounds_text([-1, -1], [1, 1]), _bounds_text([-1, -8], [1, 8]), _bounds_text([-math.inf], [math.inf])
    ('-1 to 1 each', '-1 to 1, -8 to 8', 'no bounds')
    """
    if all(map(math.isinf, [*low, *high])):
        return "no bounds"
    pairs = [f"{below:.4g} to {above:.4g}" for below, above in zip(low, high, strict=True)]
    if len(set(pairs)) == 1:
        return pairs[0] if len(pairs) == 1 else f"{pairs[0]} each"
    if len(pairs) <= _FEW:
        return ", ".join(pairs)
    return f"within {min(low):.4g} to {max(high):.4g}, see --json"


def _space_text(space: SpaceDescription) -> str:
    if space.size is None:
        return space.printed
    words = f"{space.size} number{'s' * (space.size != 1)}, {_bounds_text(space.low, space.high)}"
    if 0 < len(space.names) <= _FEW:
        words += f": {', '.join(space.names)}"
    return words if space.printed.startswith("Box") else f"{words}; made of {space.printed}"


def _horizon_text(env: EnvDescription) -> str:
    if env.horizon is None:
        return ""
    seconds = f", {env.horizon * env.clock.dt:.4g} s" if env.clock else ""
    return f"{env.horizon} steps{seconds}"


def _with(kwargs: Mapping[str, Any] | None) -> str:
    return f" (with {', '.join(f'{name}={value}' for name, value in kwargs.items())})" if kwargs else ""


def _setting(value: Any) -> str:
    return "{:g} to {:g}".format(*value) if isinstance(value, tuple) else f"{value:g}"


def _goal_text(env: EnvDescription) -> str:
    if env.goal is None:
        return ""
    words = f"the last {env.goal.size} numbers of the observation; "
    words += "rewards of other goals can be computed" if env.goal.rewards else "rewards of other goals are not known"
    return words + (", and new goals drawn" if env.goal.fresh else "")
