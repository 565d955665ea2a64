"""How cost grows: updates a second over batch size and width, memory over buffer size, loading time over dataset size.

Writes ``scaling.json`` and ``scaling.png`` into a folder; ``docs/speed.md`` shows them. Eager updates are measured at
every size, compiled ones as long as the time given lasts, smallest and largest first; what was left out is named in
the JSON. Torch keeps what it compiled, so that a second run gets further. Not collected by pytest::

    python tests/benchmarks/scaling.py door --out docs/speed --seconds 270
    python tests/benchmarks/scaling.py door --out /tmp/speed --quick
    python tests/benchmarks/scaling.py --redraw docs/speed
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from awac_tr.algorithms.hardware import bf16_units, cannot_compile
from awac_tr.bench.clock import Rate, Task, fitted, in_turns
from awac_tr.bench.flops import Products, count_products, main_shape
from awac_tr.bench.report import resident_bytes
from awac_tr.bench.subject import Bench, Setting, noise
from awac_tr.buffers.buffer import build_buffer, load_buffer
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.env_info import EnvInfo
from awac_tr.envs.episode import Episode
from awac_tr.errors import AwacError
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import Recipe
from awac_tr.training.experiment_setup import device_of, task_of
from awac_tr.training.run_folder import surroundings
from awac_tr.utils.atomic import write_text

BATCHES = (256, 512, 1024, 2048, 4096, 8192)
WIDTHS = (256, 512, 1024, 2048)
BUFFERS = (10_000, 100_000, 300_000, 1_000_000)
EPISODES = (50, 500, 1500, 5000)
BLOCK_SECONDS = 0.5
"""Of a block of updates: with five blocks of two settings and their limits, ten seconds a size."""


@dataclass(frozen=True)
class Plan:
    """Which sizes, and how long."""

    batches: tuple[int, ...] = BATCHES
    widths: tuple[int, ...] = WIDTHS
    buffers: tuple[int, ...] = BUFFERS
    episodes: tuple[int, ...] = EPISODES
    blocks: int = 5
    seconds: float = 270.0

    @classmethod
    def quick(cls) -> Plan:
        """Two small sizes of everything."""
        return cls((64, 128), (32, 64), (1000, 10_000), (2, 10), blocks=5, seconds=150.0)


class Sizes:
    """Updates of one recipe at other sizes."""

    def __init__(self, recipe: Recipe, plan: Plan) -> None:
        self.recipe, self.plan = recipe, plan
        self.device = device_of(recipe.device)
        self.env, self.bounds = task_of(recipe.env)
        self.data = noise(20_000, self.env)
        half = bf16_units(self.device)
        self.precisions = ("fp32",) if half is None else ("fp32", "bf16")
        self.until = time.monotonic() + plan.seconds
        self.left_out: list[str] = []

    def sweep(self) -> list[dict[str, Any]]:
        """Eager updates and limits at every size, then compiled ones while time lasts."""
        batch, width = self.recipe.offline.batch_size, self.recipe.qvalue.hidden_sizes[0]
        sizes = sorted({*((b, width) for b in self.plan.batches), *((batch, w) for w in self.plan.widths)})
        sizes.sort(key=lambda size: size[0] * size[1] ** 2)
        found = [row for size in sizes for row in self.measured(*size, compiled=False)]
        obstacle = cannot_compile(self.device)
        if obstacle is not None:
            self.left_out.append(f"compiled updates: {obstacle}")
            return found
        corners = [(batch, width)]
        corners += [(batch, end) for end in self.ends("widths")] + [(end, width) for end in self.ends("batches")]
        for size in dict.fromkeys([*(size for size in corners if size in sizes), *sizes]):
            found += self.measured(*size, compiled=True)
        return found

    def ends(self, what: str) -> tuple[int, int]:
        """Smallest and largest of the plan's sizes: between them a line can be drawn, whatever time is left."""
        sizes: tuple[int, ...] = getattr(self.plan, what)
        return min(sizes), max(sizes)

    def measured(self, batch: int, width: int, *, compiled: bool) -> list[dict[str, Any]]:
        """One size, in every precision."""
        kind = "compiled" if compiled else "eager"
        if compiled and time.monotonic() > self.until:
            self.left_out.append(f"compiled updates, batch {batch}, width {width}: the time given was over")
            return []
        say(f"updates, {kind}, batch {batch}, width {width}")
        recipe = self.resized(batch, width)
        tasks = {}
        if compiled:
            torch.compiler.reset()  # torch gives up on a function that was compiled for too many shapes
        bench = Bench(recipe, self.env, self.bounds, build_buffer(self.data, len(self.data)), self.device)
        learner, sample = bench.subject(Setting("fp32", compile=False)).learner, bench.buffer.sample(batch)
        counted = count_products(lambda: learner.update(sample))
        flops = sum(counted.values())
        for precision in self.precisions:
            tasks[precision] = Task(bench.subject(Setting(precision, compiled)).step, 50)
            if not compiled:
                products = Products.like_update(main_shape(counted), flops, precision, self.device)
                tasks[f"{precision} limit"] = Task(products.step(), 50)
        tasks = {name: fitted(task, BLOCK_SECONDS, self.device) for name, task in tasks.items()}
        rates = in_turns(tasks, self.plan.blocks, device=self.device)
        return [self.row(name, batch, width, flops, rate, kind) for name, rate in rates.items()]

    @staticmethod
    def row(name: str, batch: int, width: int, flops: int, rate: Rate, kind: str) -> dict[str, Any]:
        precision, _, limit = name.partition(" ")
        what = "limit" if limit else kind
        size = {"precision": precision, "what": what, "batch": batch, "width": width}
        return {**size, "gflop": flops / 1e9, "updates_per_s": rate.to_json()}

    def resized(self, batch: int, width: int) -> Recipe:
        """The recipe with another batch size and other widths."""
        hidden = (width,) * len(self.recipe.qvalue.hidden_sizes)
        parts = {
            "offline": self.recipe.offline.model_copy(update={"batch_size": batch}),
            "policy": self.recipe.policy.model_copy(update={"hidden_sizes": hidden}),
            "qvalue": self.recipe.qvalue.model_copy(update={"hidden_sizes": hidden}),
        }
        return self.recipe.model_copy(update=parts)


def buffer_memory(recipe: Recipe, sizes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Resident bytes that a full buffer of so many rows adds, each in a process of its own."""
    for rows in sizes:
        say(f"buffer of {rows:,}")
        command = [sys.executable, __file__, recipe.env.id, "--fill", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        yield {"rows": rows, "bytes": int(done.stdout)}


def fill(env_id: str, rows: int) -> int:
    """Resident bytes that filling a buffer adds to this process."""
    recipe = load_recipe("door", [f"env.id={env_id}"]).recipe
    env, _ = task_of(recipe.env)
    block = noise(10_000, env)
    buffer = build_buffer(block[:1], rows)  # what a buffer costs besides its rows is spent before
    before = resident_bytes()
    for start in range(1, rows, len(block)):
        buffer.extend(block[: rows - start])
    return resident_bytes() - before


def loading(env: EnvInfo, sizes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Seconds to read and validate a file of so many episodes into a buffer; medians of three."""
    with tempfile.TemporaryDirectory() as folder:
        for episodes in sizes:
            say(f"dataset of {episodes:,} episodes")
            path = Path(folder) / f"{episodes}.hdf5"
            write(path, env, episodes)
            rows, seconds = episodes * env.horizon, []
            for _ in range(3):
                before = time.perf_counter()
                load_buffer([path], rows, env=env)
                seconds.append(time.perf_counter() - before)
            size = path.stat().st_size
            yield {"rows": rows, "bytes": size, "seconds": float(np.median(seconds)), "samples": seconds}
            path.unlink()


def write(path: Path, env: EnvInfo, episodes: int) -> None:
    """A dataset of noise, of the sizes of the real thing."""
    generator = np.random.default_rng(0)
    bounds = {"action_low": np.full(env.action_size, -1.0), "action_high": np.full(env.action_size, 1.0)}
    meta = DatasetMeta(
        env_id=env.id, env_kwargs={}, horizon=env.horizon, source="random", policy="noise", seed=0, **bounds
    )
    with DatasetWriter(path, meta) as writer:
        for seed in range(episodes):
            writer.append(episode(generator, env, seed))
        writer.finish()


def episode(generator: np.random.Generator, env: EnvInfo, seed: int) -> Episode:
    """Noise; each next observation is the observation after it, as in the real thing."""
    steps = env.horizon
    observations = generator.standard_normal((steps + 1, env.observation_size), dtype=np.float32)
    cut = np.zeros(steps, dtype=bool)
    cut[-1] = True
    rule = env.reward_rule or (lambda following: -np.ones(len(following), dtype=np.float32))
    return Episode(
        observations=observations[:-1],
        actions=generator.uniform(-1, 1, (steps, env.action_size)).astype(np.float32),
        rewards=rule(observations[1:]),
        next_observations=observations[1:],
        terminals=np.zeros(steps, dtype=bool),
        timeouts=cut,
        infos={"success": np.zeros(steps, dtype=bool)},
        seed=seed,
    )


def measure(recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """Everything."""
    begun = time.monotonic()
    sizes = Sizes(recipe, plan)
    data = list(loading(sizes.env, plan.episodes))
    memory = list(buffer_memory(recipe, plan.buffers))
    updates = sizes.sweep()
    facts = surroundings()
    return {
        "recipe": recipe.name,
        "batch": recipe.offline.batch_size,
        "width": recipe.qvalue.hidden_sizes[0],
        "threads": torch.get_num_threads(),
        "device": str(sizes.device),
        "machine": facts["machine"],
        "versions": facts["versions"],
        "updates": updates,
        "buffer": memory,
        "loading": data,
        "left_out": sizes.left_out,
        "seconds": round(time.monotonic() - begun, 1),
    }


def draw(found: dict[str, Any], path: Path) -> None:
    """Four panels, logarithmic both ways but for memory."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    for axes, over, fixed in ((panels[0, 0], "batch", "width"), (panels[0, 1], "width", "batch")):
        _updates(axes, [row for row in found["updates"] if row[fixed] == found[fixed]], over)
        axes.set_title(f"updates a second over {over} ({fixed} {found[fixed]})")
    _sizes(panels[1, 0], found["buffer"], "bytes", 1e6, "MB", "memory of a full buffer")
    _sizes(panels[1, 1], found["loading"], "seconds", 1.0, "s", "loading and validating a dataset")
    machine = found["machine"]
    where = machine["gpu"] if found["device"].startswith("cuda") else machine["processor"]
    threads = "" if found["device"].startswith("cuda") else f", {found['threads']} threads"
    figure.suptitle(f"{found['recipe']}: {where}{threads}, torch {found['versions']['torch']}")
    figure.savefig(path, dpi=110)


STYLES = {"limit": ":", "eager": "--", "compiled": "-"}
COLOURS = {"fp32": "C0", "bf16": "C1"}


def _updates(axes: Any, rows: list[dict[str, Any]], over: str) -> None:
    for precision, colour in COLOURS.items():
        for what, style in STYLES.items():
            line = sorted(
                (row[over], row["updates_per_s"]["median"], row["updates_per_s"]["low"], row["updates_per_s"]["high"])
                for row in rows
                if (row["precision"], row["what"]) == (precision, what)
            )
            if not line:
                continue
            x, median, low, high = zip(*line, strict=True)
            axes.plot(x, median, style, color=colour, marker="o", markersize=3, label=f"{precision} {what}")
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel=over, ylabel="updates a second")
    ticks = sorted({row[over] for row in rows})
    _plain_ticks(axes.yaxis)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _sizes(axes: Any, rows: list[dict[str, Any]], name: str, unit: float, label: str, title: str) -> None:
    x, y = [row["rows"] for row in rows], [row[name] / unit for row in rows]
    axes.plot(x, y, "-o", color="C2", markersize=4)
    for point in zip(x, y, strict=True):
        axes.annotate(f"{point[1]:.3g} {label}", point, textcoords="offset points", xytext=(4, 6), fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="transitions", ylabel=label, title=title)
    axes.margins(x=0.2, y=0.15)
    _plain_ticks(axes.yaxis)
    axes.grid(alpha=0.3)


def _plain_ticks(axis: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def say(what: str) -> None:
    sys.stderr.write(f"{what} ...\n")


def save(found: dict[str, Any], folder: Path) -> None:
    """Both files, each complete or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "scaling.json", json.dumps(found, indent=1) + "\n")
    part = folder / "scaling.part.png"
    draw(found, part)
    part.replace(folder / "scaling.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="door")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("speed"), help="folder for the two files")
    parser.add_argument("--seconds", type=float, default=270.0, help="after which no further compiling is begun")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see whether it runs")
    parser.add_argument("--redraw", type=Path, metavar="FOLDER", help="only draw the picture of a scaling.json again")
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_intermixed_args()
    if arguments.fill is not None:
        sys.stdout.write(str(fill(arguments.recipe, arguments.fill)))
        return
    if arguments.redraw is not None:
        save(json.loads((arguments.redraw / "scaling.json").read_text(encoding="utf-8")), arguments.redraw)
        return
    try:
        recipe = load_recipe(arguments.recipe, arguments.overrides).recipe
    except AwacError as error:
        sys.exit(str(error))
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    plan = Plan.quick() if arguments.quick else Plan(seconds=arguments.seconds)
    save(measure(recipe, plan), arguments.out)


if __name__ == "__main__":
    main()
