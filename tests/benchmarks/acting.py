"""What acting costs: the simulator alone, with a bare torch policy, through our collector; and its share of a round.

All variants run in one process, in alternating blocks, so that whatever else the machine does hits them alike; the
medians over the blocks are printed as JSON, of wall time and of processor time, which is the fairer one where other
processes are busy. Not collected by pytest::

    OMP_NUM_THREADS=1 python tests/benchmarks/acting.py door --blocks 15 --updates-per-second 26 70
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn
from torchrl.collectors import Collector

from awac_tr.collectors.online import OnlineCollector
from awac_tr.envs.env_info import env_info
from awac_tr.envs.episode import action_bounds
from awac_tr.envs.make import make_env, make_torchrl_env
from awac_tr.models.build import build_policy
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import EnvSection, Recipe

Block = Callable[[int], object]


class Raw:
    """The environment as Gymnasium makes it, with random actions drawn beforehand or with a bare network's."""

    def __init__(self, section: EnvSection, network: nn.Module | None) -> None:
        guarded = make_env(section)
        low, high = action_bounds(guarded)
        self._env = guarded.env  # less our checks
        self._network = network
        self._actions = np.random.default_rng(0).uniform(low, high, (512, len(low))).astype(np.float32)
        self._observation, _ = self._env.reset(seed=0)

    @torch.inference_mode()
    def __call__(self, steps: int) -> None:
        for step in range(steps):
            action = self._actions[step % len(self._actions)]
            if self._network is not None:
                observation = self._observation.astype(np.float32, copy=False)
                action = self._network(torch.from_numpy(observation)).numpy()
            self._observation, _, terminated, truncated, _ = self._env.step(action)
            if terminated or truncated:
                self._observation, _ = self._env.reset()


class Torchrl:
    """TorchRL's own collector with the same policy and clipping."""

    def __init__(self, section: EnvSection, policy: nn.Module, steps: int) -> None:
        env = make_torchrl_env(section)
        space = env.action_spec.space
        low, high = space.low.clone(), space.high.clone()
        clip = TensorDictModule(lambda action: torch.clamp(action, low, high), ["action"], ["action"])
        self._collector = Collector(
            env,
            TensorDictSequential(policy, clip),
            frames_per_batch=steps,
            total_frames=-1,
            trust_policy=True,
            auto_register_policy_transforms=False,
        )
        self._rounds = iter(self._collector)

    @torch.no_grad()
    def __call__(self, _steps: int) -> None:
        next(self._rounds)


def bare(policy: nn.Module) -> nn.Module:
    """The same layers as one writes them by hand, without standardisation or noise: it acts as the policy's mean."""
    mlp = policy[0].module.mlp
    linear = [nn.Linear(layer.in_features, layer.out_features) for layer in (*mlp.hidden, mlp.last)]
    for own, theirs in zip(linear, (*mlp.hidden, mlp.last), strict=True):
        own.load_state_dict(theirs.state_dict())
    return nn.Sequential(*(part for layer in linear for part in (layer, nn.ReLU())))[:-1].append(nn.Tanh())


def variants(recipe: Recipe, steps: int) -> dict[str, Block]:
    """What is timed."""
    facts, section = env_info(EnvSection(id=recipe.env.id, kwargs=recipe.env.kwargs)), recipe.env
    sizes = (facts.observation_size, facts.action_size)
    policy = build_policy(recipe.policy, *sizes)
    return {
        "simulator": Raw(section, None),
        "simulator_and_bare_policy": Raw(section, bare(policy)),
        "ours": OnlineCollector(section, policy, seed=0).collect,
        "torchrl_collector": Torchrl(section, policy, steps),
    }


def microseconds(block: Block, steps: int) -> tuple[float, float]:
    """Wall and processor time of a step."""
    wall, processor = time.perf_counter(), time.process_time()
    block(steps)
    return (time.perf_counter() - wall) / steps * 1e6, (time.process_time() - processor) / steps * 1e6


def measure(recipe: Recipe, blocks: int, steps: int, rates: list[float]) -> dict[str, object]:
    """Medians of all variants, of their ratios within a block, and the share of a round at these updates a second."""
    timed = variants(recipe, steps)
    for block in timed.values():
        block(steps)
    rows = [{name: microseconds(block, steps) for name, block in timed.items()} for _ in range(blocks)]

    def ratio(name: str, over: str, clock: int) -> float:
        return round(statistics.median(row[name][clock] / row[over][clock] for row in rows), 3)

    medians = {
        name: {
            clock: statistics.median(row[name][index] for row in rows) for index, clock in enumerate(("wall", "cpu"))
        }
        for name in timed
    }
    step, each = medians["ours"], recipe.online.updates_per_step
    return {
        "microseconds_per_step": {
            name: {clock: round(value, 1) for clock, value in times.items()} for name, times in medians.items()
        },
        "steps_per_second": {
            name: {clock: round(1e6 / value) for clock, value in times.items()} for name, times in medians.items()
        },
        "ours_over_simulator_and_bare_policy": dict(
            zip(("wall", "cpu"), (ratio("ours", "simulator_and_bare_policy", clock) for clock in (0, 1)), strict=True)
        ),
        "torchrl_over_ours": dict(
            zip(("wall", "cpu"), (ratio("torchrl_collector", "ours", clock) for clock in (0, 1)), strict=True)
        ),
        "share_of_a_round": {
            f"{rate:g} updates/s": {clock: round(us / (us + each * 1e6 / rate), 4) for clock, us in step.items()}
            for rate in rates
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="door")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--steps", type=int, default=200, help="of a block")
    parser.add_argument("--updates-per-second", type=float, nargs="+", default=[26.0, 70.0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("torchrl").setLevel(logging.WARNING)
    recipe = load_recipe(arguments.recipe, arguments.overrides).recipe
    result = measure(recipe, arguments.blocks, arguments.steps, arguments.updates_per_second)
    about = {"recipe": recipe.name, "env": recipe.env.id, "blocks": arguments.blocks, "steps": arguments.steps}
    sys.stdout.write(json.dumps({**about, **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
