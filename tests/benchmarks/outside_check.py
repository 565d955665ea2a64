"""Ours beside d3rlpy's form of each method: the same offline data, sizes, rates and evaluation; who gets how far?

One line of JSON for each run, those that are there are skipped; where both packages are (``nox -s bench`` makes such an
environment)::

    python tests/benchmarks/outside_check.py run rows.jsonl --method awac --data a.hdf5 --data b.hdf5
    python tests/benchmarks/outside_check.py table rows.jsonl
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from awac_tr.bench.peer import d3rlpy_learner
from awac_tr.bench.subject import rows_of
from awac_tr.buffers.buffer import observation_statistics
from awac_tr.data import open_dataset
from awac_tr.evaluation.evaluate import evaluate
from awac_tr.keys import OBSERVATION
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.training.experiment_setup import task_of
from awac_tr.training.train import train

NETWORKS = ["policy.hidden_sizes=[256,256]", "qvalue.hidden_sizes=[256,256]"]
SQUASHED = [
    "policy.distribution=tanh_normal",
    "policy.std=dependent",
    "policy.log_std_min=-20.0",
    "policy.log_std_max=2.0",
    "policy.log_std_map=clamp",
]
CVAE = ["algorithm.cvae_hidden_sizes=[256,256]", "algorithm.acting_samples=10", "algorithm.next_samples=10"]
METHODS: dict[str, list[str]] = {
    "awac": [
        *NETWORKS,
        "algorithm.weighting=softmax",
        "algorithm.weight_max=null",
        "algorithm.policy_weight_decay=0.0",
    ],
    "iql": NETWORKS,
    "bc": [NETWORKS[0], "algorithm.loss=mse", "algorithm.weight_decay=0.0"],
    "sac": [*NETWORKS, *SQUASHED, "algorithm.policy_weight_decay=0.0"],
    "bear": [*NETWORKS, *SQUASHED, *CVAE, "algorithm.warm_start=0"],
    "bcq": [NETWORKS[1], "algorithm.perturbation_hidden_sizes=[256,256]", *CVAE],
}
"""Method -> the recipe keys by which ours does what d3rlpy's does."""

WITHOUT_ENTROPY = {"initial_temperature": 1e-20, "temp_learning_rate": 0.0}
"""BEAR of the paper, and ours, has no entropy bonus."""

ALIGNED = ("awac", "bear", "bcq")
"""Methods in which d3rlpy has something to undo, see :func:`align`."""

WHO = ("ours", "d3rlpy", "d3rlpy-aligned")


def recipe_of(method: str, seed: int, args: argparse.Namespace) -> LoadedRecipe:
    """HalfCheetah's recipe, offline alone."""
    keys = [
        f"data.datasets=[{','.join(args.data)}]",
        f"seed={seed}",
        "threads=1",
        "precision=fp32",
        f"offline.updates={args.updates}",
        "offline.batch_size=256",
        "online.steps=0",
        "eval.every=0",
        "eval.episodes=1",
    ]
    return load_recipe("halfcheetah", [*keys, *METHODS[method]], method=method)


def run_ours(loaded: LoadedRecipe, episodes: int) -> tuple[list[float], float]:
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        run = train(loaded, run_dir=Path(folder) / "run", quiet=True)
        seconds = time.perf_counter() - begin
        found = evaluate(run / "checkpoints" / "last.pt", episodes=episodes)
    return [row["return"] for row in found.episodes], seconds


def align(learner: Any, method: str) -> None:
    """Undo in d3rlpy what is not in the papers, and what no key of its configuration undoes."""
    if method == "awac":  # its targets have the entropy bonus of SAC, at temperature 1
        for log_temp in learner.impl.modules.log_temp.parameters():
            log_temp.data.fill_(-50.0)
    elif method in ALIGNED:  # with_squash=True gives actions before their tanh, False after it: the reverse
        decoder = learner.impl.modules.vae_decoder
        forward = decoder.forward
        decoder.forward = lambda x, latent, with_squash=True: forward(x, latent, not with_squash)


def run_peer(loaded: LoadedRecipe, who: str, episodes: int) -> tuple[list[float], float]:
    recipe = loaded.recipe
    method, device = recipe.algorithm.name, torch.device("cpu")
    env, _ = task_of(recipe.env)
    rows = rows_of(recipe, env, device)
    if rows.missing:
        raise SystemExit(f"not here: {', '.join(rows.missing)}")
    transitions = rows.buffer[: rows.transitions].clone()
    mean, std = observation_statistics(rows.buffer)
    transitions.set(OBSERVATION, (transitions.get(OBSERVATION) - mean) / std)
    torch.manual_seed(recipe.seed)
    np.random.seed(recipe.seed)  # noqa: NPY002  (d3rlpy draws batches by it)
    others = WITHOUT_ENTROPY if method == "bear" and who == "d3rlpy-aligned" else {}
    learner, dataset, _ = d3rlpy_learner(recipe, transitions, recipe.offline.batch_size, device, **others)
    if who == "d3rlpy-aligned":
        align(learner, method)
    begin = time.perf_counter()
    for _ in range(recipe.offline.updates):
        learner.update(dataset.sample_transition_batch(recipe.offline.batch_size))
    seconds = time.perf_counter() - begin
    shift, scale = mean.numpy(), std.numpy()
    returns = []
    with contextlib.closing(gymnasium.make(recipe.env.id)) as world:
        for seed in range(recipe.eval.seed, recipe.eval.seed + episodes):
            observation, _ = world.reset(seed=seed)
            total, over = 0.0, False
            while not over:
                seen = ((observation.astype("float32") - shift) / scale)[None]
                observation, reward, terminated, truncated, _ = world.step(learner.predict(seen)[0])
                total, over = total + float(reward), terminated or truncated
            returns.append(total)
    return returns, seconds


def versions() -> dict[str, str]:
    found = {}
    for name in ("awac-tr", "d3rlpy", "torch", "mujoco", "gymnasium"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def run(args: argparse.Namespace) -> None:
    """Every run of the chosen methods, implementations and seeds that is not in the file yet."""
    hashes = []
    for path in args.data:
        with open_dataset(path) as dataset:
            hashes.append(dataset.content_hash)
    for method in args.method:
        for seed in args.seed:
            for who in args.who:
                key = {"method": method, "who": who, "seed": seed, "updates": args.updates}
                if who == "d3rlpy-aligned" and method not in ALIGNED:
                    continue
                if any(key.items() <= row.items() for row in read(args.rows)):
                    continue
                loaded = recipe_of(method, seed, args)
                one = run_ours(loaded, args.episodes) if who == "ours" else run_peer(loaded, who, args.episodes)
                returns, seconds = one
                told = {"returns": returns, "seconds": seconds, "keys": METHODS[method], "data": hashes}
                with args.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(key | {"return": statistics.mean(returns)} | told | versions()) + "\n")


def table(args: argparse.Namespace) -> None:
    """Mean over seeds with the smallest and the largest, and whether those of the two implementations overlap."""
    rows = read(args.rows)
    print("| method | ours | d3rlpy, aligned | d3rlpy as it is | ours and aligned |\n|---|---|---|---|---|")  # noqa: T201
    for method in METHODS:
        by = {who: [row["return"] for row in rows if (row["method"], row["who"]) == (method, who)] for who in WHO}
        cells = [_cell(by[who]) for who in ("ours", "d3rlpy-aligned", "d3rlpy")]
        print(f"| {method} | {' | '.join(cells)} | {_verdict(by['ours'], by['d3rlpy-aligned'] or by['d3rlpy'])} |")  # noqa: T201


def _cell(returns: list[float]) -> str:
    if not returns:
        return ""
    return f"{statistics.mean(returns):,.0f} ({min(returns):,.0f} .. {max(returns):,.0f}; {len(returns)})"


def _verdict(ours: list[float], theirs: list[float]) -> str:
    if min(len(ours), len(theirs)) < 2:
        return ""
    return "overlap" if min(ours) <= max(theirs) and min(theirs) <= max(ours) else "**apart**"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    runs, summary = commands.add_parser("run"), commands.add_parser("table")
    for command, what in ((runs, run), (summary, table)):
        command.add_argument("rows", type=Path)
        command.set_defaults(what=what)
    runs.add_argument("--data", action="append", required=True)
    runs.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    runs.add_argument("--who", nargs="+", choices=WHO, default=list(WHO))
    runs.add_argument("--seed", nargs="+", type=int, default=[0, 1, 2])
    runs.add_argument("--updates", type=int, default=10_000)
    runs.add_argument("--episodes", type=int, default=10)
    args = parser.parse_args()
    args.what(args)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    main()
