"""What relabelling costs: samples as recorded, relabelled samples, and an update, of a recipe with hindsight.

All in one process, in alternating blocks, so that whatever else the machine does hits all alike; medians over the
blocks. Rows are noise of the environment's sizes, in episodes of its horizon. Not collected by pytest::

    python tests/benchmarks/hindsight.py sawyer-push precision=fp32 compile=true --out hindsight.json

The result is printed as JSON: milliseconds of wall and of processor time, and the share of an update that a relabelled
sample takes, which is to be below 0.15.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from awac_tr.bench.clock import Rate, Task, in_turns, ratio
from awac_tr.bench.subject import WARM_UP, Bench, noise, own_setting
from awac_tr.buffers.buffer import TransitionBuffer
from awac_tr.buffers.hindsight import goal_rule_of
from awac_tr.buffers.sampling import Sampling
from awac_tr.buffers.storage import MappedRows, RowStorage
from awac_tr.envs.env_info import EnvInfo
from awac_tr.keys import ACHIEVED_GOAL, DESIRED_GOAL, NEXT_ACHIEVED_GOAL, NEXT_OBSERVATION, OBSERVATION
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import Recipe
from awac_tr.training.experiment_setup import task_of
from awac_tr.training.run_folder import surroundings
from awac_tr.utils.atomic import write_text

ROWS = 200_000
"""500 episodes of 200 steps, and as many again from online play."""


def filled(recipe: Recipe, env: EnvInfo, *, relabel: bool, kind: str) -> TransitionBuffer:
    """A buffer of noise, with goals; from the same generator either way."""
    rule, rng = goal_rule_of(env), np.random.default_rng(0)
    rows = noise(ROWS, env)
    goals = rng.uniform(-0.2, 0.2, (3, ROWS, rule.size)).astype(np.float32)
    for key, goal in zip((ACHIEVED_GOAL, NEXT_ACHIEVED_GOAL, DESIRED_GOAL), torch.from_numpy(goals), strict=True):
        rows.set(key, goal)
    for key in (OBSERVATION, NEXT_OBSERVATION):
        rows.get(key)[:, -rule.size :] = rows.get(DESIRED_GOAL)
    storage: Any = MappedRows(ROWS, folder=Path()) if kind == "memmap" else RowStorage(ROWS)
    buffer = TransitionBuffer(
        storage=storage,
        generator=torch.Generator().manual_seed(0),
        sampling=Sampling(hindsight=recipe.hindsight if relabel else None),
        rule=rule,
    )
    buffer.extend(rows)
    return buffer


def compare(recipe: Recipe, blocks: int, updates: int, kind: str) -> dict[str, Any]:
    """Time the three in turns."""
    device, size = torch.device("cpu"), recipe.offline.batch_size
    env, bounds = task_of(recipe.env)
    plain, relabelled = (filled(recipe, env, relabel=relabel, kind=kind) for relabel in (False, True))
    setting = own_setting(recipe, device)
    learner = Bench(recipe, env, bounds, relabelled, device).subject(setting).learner
    batch = relabelled.sample(size)
    for _ in range(WARM_UP):
        plain.sample(size)
        learner.update(batch)
    tasks = {
        "recorded sample": Task(lambda: plain.sample(size), 4 * updates),
        "relabelled sample": Task(lambda: relabelled.sample(size), 4 * updates),
        "update": Task(lambda: learner.update(batch), updates),
    }
    rates = in_turns(tasks, blocks)
    return {
        "recipe": recipe.name,
        "batch": size,
        "storage": kind,
        "setting": str(setting),
        "milliseconds": {name: milliseconds(rate) for name, rate in rates.items()},
        "share of an update": {
            name: round(ratio(rates["update"], rates[name]), 4) for name in ("recorded sample", "relabelled sample")
        },
    }


def milliseconds(rate: Rate) -> dict[str, float]:
    """Of one unit: wall time and processor time, medians."""
    wall = 1000 / rate.median
    return {"wall": round(wall, 3), "processor": round(wall * rate.busy, 3)}


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--updates", type=int, default=10, help="in a block; four times as many samples")
    parser.add_argument("--storage", choices=("memory", "memmap"), default="memory")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = load_recipe(given.recipe, given.overrides).recipe
    found = compare(recipe, given.blocks, given.updates, given.storage) | surroundings(sys.argv)
    text = json.dumps(found, indent=1, default=str)
    sys.stdout.write(text + "\n")
    if given.out is not None:
        write_text(given.out, text + "\n")


if __name__ == "__main__":
    main()
