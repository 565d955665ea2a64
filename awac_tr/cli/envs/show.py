"""``awac-tr envs show``: what there is to know of an environment, its picture and its speed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from awac_tr.cli.data.shared import echo_table, json_option
from awac_tr.cli.envs.rows import entry_rows, fact_rows
from awac_tr.cli.options import DependentOption, refuse_idle_options
from awac_tr.cli.support import echo_json, examples
from awac_tr.utils.terminal import echo

if TYPE_CHECKING:
    from awac_tr.envs.describe.describe import EnvDescription
    from awac_tr.recipes.environment import EnvSection

__all__ = ["command"]

_SIZE = "480x360"


@click.command(
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
@click.option("--env-set", "changes", multiple=True, metavar="KEY=VALUE", help="A key of a recipe's section env.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw the start of an episode: a PNG.")
@click.option("--size", cls=DependentOption, needs="picture", help=f"Of the picture, WIDTHxHEIGHT  [default: {_SIZE}].")
@click.option(
    "--seed",
    cls=DependentOption,
    needs="picture",
    type=click.IntRange(min=0),
    help="Of the episode in the picture  [default: 0].",
)
@click.option(
    "--camera",
    cls=DependentOption,
    needs="picture",
    multiple=True,
    metavar="KEY=VALUE",
    help="Move a MuJoCo camera: distance (m), azimuth, elevation (degrees), lookat ([x, y, z]).",
)
@click.option("--speed", is_flag=True, help="Measure steps a second for two seconds, with random actions.")
@json_option
def command(
    *, env: str, changes: tuple[str, ...], picture: Path | None, speed: bool, as_json: bool, **drawn: Any
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

    described = describe(env_with(read_env(env), changes))
    found: dict[str, Any] = {"datasets": _datasets(described.id)}
    if not as_json:
        _echo(described, found["datasets"])
    if picture is not None:
        found["picture"] = _draw(described.env, picture, **drawn)
    if speed:
        found["speed"] = _measure(described)
    if as_json:
        echo_json({**asdict(described), "env": described.env.to_plain(), **found})
    else:
        _echo_extras(found)


def _echo(described: EnvDescription, datasets: Sequence[str]) -> None:
    echo_table(described.id, ("", ""), fact_rows(described, datasets))
    if described.observation.parts:
        echo_table("observation", ("entries", ""), entry_rows(described.observation))


def _datasets(env_id: str) -> list[str]:
    """Names of the dataset files here that were recorded in this environment."""
    from awac_tr.data.storage.listing import list_datasets
    from awac_tr.data.storage.paths import dataset_folder

    folder = dataset_folder()
    return [entry["name"] for entry in list_datasets(folder, env=env_id)] if folder.is_dir() else []


def _draw(
    env: EnvSection, path: Path, *, size: str | None, seed: int | None, camera: tuple[str, ...]
) -> dict[str, object]:
    from awac_tr.video import draw_still

    still = draw_still(env, path, seed=seed or 0, size=_pixels(size or _SIZE), camera=_aim(camera))
    return asdict(still)


def _pixels(size: str) -> tuple[int, int]:
    width, sign, height = size.lower().partition("x")
    if not (sign and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise click.UsageError(f"--size {size}: expected WIDTHxHEIGHT, for example {_SIZE}.")
    return int(width), int(height)


def _aim(camera: Sequence[str]) -> dict[str, Any]:
    from awac_tr.recipes.yaml_text import parse_yaml

    aim: dict[str, Any] = {}
    for text in camera:
        key, sign, value = text.partition("=")
        parsed = parse_yaml(value)
        if not sign or not key or parsed.problems:
            raise click.UsageError(f"--camera {text}: expected KEY=VALUE, for example azimuth=45.")
        aim[key] = parsed.data
    return aim


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
