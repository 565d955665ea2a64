"""What our layers cost: sampling and updating as the loop does it, against a bare torch loop of the same arithmetic.

Both run in one process, in alternating blocks, so that whatever else the machine does hits both alike; medians over the
blocks are compared. The bare loop is compiled where ours is, in the same way. Not collected by pytest::

    python tests/benchmarks/loop_overhead.py door precision=fp32 compile=false --threads 1
    python tests/benchmarks/loop_overhead.py door precision=bf16 compile=true --out overhead.json

The result is printed as JSON: updates a second of both, with every block, and by how much ours is slower, in wall time
and in processor time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional

from awac_tr.algorithms import compilation
from awac_tr.algorithms.value_bounds import value_bounds
from awac_tr.bench.clock import Task, in_turns, ratio
from awac_tr.bench.subject import WARM_UP, Bench, Setting, noise, own_setting
from awac_tr.buffers.buffer import build_buffer
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import Recipe
from awac_tr.training.experiment_setup import task_of
from awac_tr.training.run_folder import surroundings
from awac_tr.utils.atomic import write_text

ROWS = 100_000
"""As many as a recipe's datasets have."""


class Half(nn.Linear):
    """A layer that multiplies in bfloat16, with float32 weights."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.bfloat16(), self.weight.bfloat16(), self.bias.bfloat16())


class Network(nn.Module):
    """Linear layers with ReLU between; the last in float32."""

    def __init__(self, sizes: list[int], *, half: bool) -> None:
        super().__init__()
        self.hidden = nn.ModuleList((Half if half else nn.Linear)(n, m) for n, m in pairwise(sizes[:-1]))
        self.last = nn.Linear(*sizes[-2:])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = functional.relu(layer(x))
        return self.last(x.float())


class Bare:
    """AWAC as one would write it by hand for one recipe: no TensorDict, no loss module, no buffer class."""

    def __init__(self, recipe: Recipe, setting: Setting, data: TensorDict) -> None:
        self.section, self.batch_size = recipe.algorithm, recipe.offline.batch_size
        self.data = [data[key] for key in ("observation", "action", ("next", "reward"), ("next", "observation"))]
        self.data.append((~data["next", "terminated"]).float())
        self.mean, self.std = self.data[0].mean(0), self.data[0].std(0)
        half = setting.precision == "bf16"
        observation_size, action_size = self.data[0].shape[1], self.data[1].shape[1]
        self.policy = Network([observation_size, *recipe.policy.hidden_sizes, action_size], half=half)
        self.spread = nn.Parameter(torch.zeros(action_size))
        sizes = [observation_size + action_size, *recipe.qvalue.hidden_sizes, 1]
        self.critics = [Network(sizes, half=half) for _ in range(recipe.qvalue.count)]
        self.targets = [Network(sizes, half=half).requires_grad_(False) for _ in self.critics]
        actor = [*self.policy.parameters(), self.spread]
        self.ours = [p for critic in self.critics for p in critic.parameters()]
        self.theirs = [p for critic in self.targets for p in critic.parameters()]
        self.parameters = [*actor, *self.ours]
        self.optimizer = torch.optim.Adam(
            [
                {"params": actor, "lr": self.section.policy_lr, "weight_decay": self.section.policy_weight_decay},
                {"params": self.ours, "lr": self.section.qvalue_lr},
            ],
            fused=True,
        )
        low, high = value_bounds((-1.0, 0.0), self.section.gamma)
        wanted = self.section.value_bounds
        self.low, self.high = (low, high) if wanted == "reward_range" else wanted
        self.evaluate = compiled(self.gradients) if setting.compile else self.gradients

    def clamp(self, value: Tensor) -> Tensor:
        return value if self.low is None and self.high is None else value.clamp(self.low, self.high)

    def minimum(self, critics: list[Network], inputs: Tensor) -> Tensor:
        return self.clamp(torch.stack([critic(inputs) for critic in critics]).min(0)[0])

    def gradients(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Of both losses by every parameter."""
        observation, action, reward, following, not_done = batch
        observation, following = (observation - self.mean) / self.std, (following - self.mean) / self.std
        std = torch.exp(-6.0 + 6.0 * torch.sigmoid(self.spread))
        mu = torch.tanh(self.policy(observation))
        normal = torch.distributions.Normal(mu, std, validate_args=False)
        with torch.no_grad():
            ahead = torch.tanh(self.policy(following)) + std * torch.randn_like(action)
            value = self.minimum(self.targets, torch.cat([following, ahead], 1))
            target = reward + self.section.gamma * not_done * value
        inputs = torch.cat([observation, action], 1)
        qvalues = torch.stack([critic(inputs) for critic in self.critics])
        loss_qvalue = (qvalues - target).square().sum(0).mean()
        with torch.no_grad():
            weights = self.weights(observation, mu, std, qvalues)
        loss_actor = -(weights * normal.log_prob(action).sum(-1)).mean()
        found = torch.autograd.grad(loss_actor + loss_qvalue, self.parameters)
        return tuple(gradient.contiguous() for gradient in found)

    def weights(self, observation: Tensor, mu: Tensor, std: Tensor, qvalues: Tensor) -> Tensor:
        chosen = mu if self.section.value_estimate == "mean" else mu + std * torch.randn_like(mu)
        value = self.minimum(self.critics, torch.cat([observation, chosen], 1))
        advantage = self.clamp(qvalues.min(0)[0]) - value
        if self.section.advantage_max is not None:
            advantage = advantage.clamp(max=self.section.advantage_max)
        scaled = advantage.squeeze(-1) / self.section.temperature
        if self.section.weighting == "softmax":
            return torch.softmax(scaled, 0) * len(scaled)
        return scaled.exp() if self.section.weight_max is None else scaled.exp().clamp(max=self.section.weight_max)

    def update(self) -> None:
        rows = torch.randint(ROWS, (self.batch_size,))
        gradients = self.evaluate(tuple(tensor[rows] for tensor in self.data))
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.theirs, self.ours, self.section.tau)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """As ``awac_tr.algorithms.compilation.Compiled`` does it, without its TensorDict."""
    graph: Any = torch.compile(
        function, fullgraph=True, dynamic=False, isolate_recompiles=True, options=compilation._OPTIONS
    )
    tracing: Any = compilation._tracing

    def call(batch: tuple[Tensor, ...]) -> Any:
        nonlocal tracing
        with tracing():
            out = graph(batch)
        tracing = contextlib.nullcontext  # every later call finds its graph: another compilation would be an error
        return out

    return call


def compare(recipe: Recipe, blocks: int, updates: int) -> dict[str, Any]:
    """Time both loops in turns."""
    device = torch.device("cpu")
    setting = own_setting(recipe, device)
    env, bounds = task_of(recipe.env)
    data = noise(ROWS, env)
    subject = Bench(recipe, env, bounds, build_buffer(data, recipe.buffer.capacity), device).subject(setting)
    bare = Bare(recipe, setting, data)
    for _ in range(WARM_UP):
        bare.update()
    rates = in_turns({"ours": Task(subject.step, updates), "bare": Task(bare.update, updates)}, blocks)
    ours, theirs = rates["ours"], rates["bare"]
    return {
        "recipe": recipe.name,
        "setting": setting.name,
        "batch_size": recipe.offline.batch_size,
        "threads": torch.get_num_threads(),
        "machine": surroundings()["machine"],
        "ours_updates_per_s": ours.to_json(),
        "bare_updates_per_s": theirs.to_json(),
        "wall_ratio": round(ratio(theirs, ours), 4),
        "processor_ratio": round(ours.busy / ours.median / (theirs.busy / theirs.median), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="door")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--threads", type=int, help="intra-op threads [default: the recipe's, or torch's choice]")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    arguments = parser.parse_intermixed_args()
    recipe = load_recipe(arguments.recipe, arguments.overrides).recipe
    threads = arguments.threads or recipe.threads
    if threads is not None:
        torch.set_num_threads(threads)
    text = json.dumps(compare(recipe, arguments.blocks, arguments.updates), indent=2) + "\n"
    if arguments.out is not None:
        write_text(arguments.out, text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
