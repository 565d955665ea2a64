"""What our layers cost: sampling and updating as the loop does it, against a bare torch loop of the same arithmetic.

Both run in one process, in alternating blocks, so that whatever else the machine does hits both alike; medians over the
blocks are compared. Not collected by pytest::

    OMP_NUM_THREADS=1 python tests/benchmarks/loop_overhead.py door --blocks 20 --updates 10
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from awac_tr.algorithms.awac import value_bounds
from awac_tr.algorithms.base import Statistics
from awac_tr.algorithms.registry import build_learner
from awac_tr.data.buffer import build_buffer
from awac_tr.envs.facts import env_facts
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import Recipe
from awac_tr.training.means import Means

ROWS = 100_000


def transitions(observation_size: int, action_size: int) -> TensorDict:
    """As many rows as a recipe's datasets have, of noise."""
    generator = torch.Generator().manual_seed(0)
    done = torch.zeros(ROWS, 1, dtype=torch.bool)
    return TensorDict(
        {
            "observation": torch.randn(ROWS, observation_size, generator=generator),
            "action": torch.rand(ROWS, action_size, generator=generator) * 2 - 1,
            "next": {
                "observation": torch.randn(ROWS, observation_size, generator=generator),
                "reward": -(torch.rand(ROWS, 1, generator=generator) > 0.05).float(),
                "terminated": done,
                "truncated": done.clone(),
                "done": done.clone(),
            },
        },
        batch_size=[ROWS],
    )


def network(sizes: list[int]) -> nn.Sequential:
    """Linear layers with ReLU between."""
    layers: list[nn.Module] = []
    for inner, outer in pairwise(sizes):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Bare:
    """AWAC as one would write it by hand for one recipe: no TensorDict, no loss module, no buffer class."""

    def __init__(self, recipe: Recipe, data: TensorDict, mean: Tensor, std: Tensor, batch_size: int) -> None:
        self.section, self.batch_size = recipe.awac, batch_size
        self.data = [data[key] for key in ("observation", "action", ("next", "reward"), ("next", "observation"))]
        self.not_done = (~data["next", "terminated"]).float()
        self.mean, self.std = mean, std
        observation_size, action_size = self.data[0].shape[1], self.data[1].shape[1]
        self.policy = network([observation_size, *recipe.policy.hidden_sizes, action_size])
        self.spread = nn.Parameter(torch.zeros(action_size))
        sizes = [observation_size + action_size, *recipe.qvalue.hidden_sizes, 1]
        self.critics = [network(sizes) for _ in range(recipe.qvalue.count)]
        self.targets = [network(sizes).requires_grad_(False) for _ in self.critics]
        actor = [*self.policy.parameters(), self.spread]
        self.ours = [p for critic in self.critics for p in critic.parameters()]
        self.theirs = [p for critic in self.targets for p in critic.parameters()]
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

    def clamp(self, value: Tensor) -> Tensor:
        return value if self.low is None and self.high is None else value.clamp(self.low, self.high)

    def minimum(self, critics: list[nn.Sequential], inputs: Tensor) -> Tensor:
        return self.clamp(torch.stack([critic(inputs) for critic in critics]).min(0)[0])

    def update(self) -> None:
        rows = torch.randint(ROWS, (self.batch_size,))
        observation, action, reward, following = (tensor[rows] for tensor in self.data)
        not_done = self.not_done[rows]
        observation, following = (observation - self.mean) / self.std, (following - self.mean) / self.std
        std = torch.exp(-6.0 + 6.0 * torch.sigmoid(self.spread))
        mu = torch.tanh(self.policy(observation))
        policy = torch.distributions.Independent(
            torch.distributions.Normal(mu, std, validate_args=False), 1, validate_args=False
        )
        with torch.no_grad():
            noise = torch.randn_like(action)
            ahead = torch.tanh(self.policy(following)) + std * noise
            target = reward + self.section.gamma * not_done * self.minimum(
                self.targets, torch.cat([following, ahead], 1)
            )
        inputs = torch.cat([observation, action], 1)
        qvalues = torch.stack([critic(inputs) for critic in self.critics])
        loss_qvalue = (qvalues - target).square().sum(0).mean()
        with torch.no_grad():
            chosen = mu if self.section.value_estimate == "mean" else mu + std * torch.randn_like(mu)
            value = self.minimum(self.critics, torch.cat([observation, chosen], 1))
            advantage = self.clamp(qvalues.min(0)[0]) - value
            if self.section.advantage_max is not None:
                advantage = advantage.clamp(max=self.section.advantage_max)
            scaled = advantage.squeeze(-1) / self.section.lmbda
            weights = scaled.exp() if self.section.weighting == "exp" else torch.softmax(scaled, 0) * len(scaled)
        loss_actor = -(weights * policy.log_prob(action)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        (loss_actor + loss_qvalue).backward()
        self.optimizer.step()
        torch._foreach_lerp_(self.theirs, self.ours, self.section.tau)


def ours(recipe: Recipe, data: TensorDict, statistics: Statistics, batch_size: int) -> Callable[[], None]:
    """The loop's hot path."""
    learner = build_learner(recipe, env_facts(recipe.env.id), statistics, "cpu")
    buffer = build_buffer(data, recipe.buffer.capacity, batch_size, generator=torch.Generator().manual_seed(0))
    means = Means()
    return lambda: means.add(learner.update(buffer.sample(batch_size)))


def seconds(step: Callable[[], None], updates: int) -> tuple[float, float]:
    """Wall and processor time of an update; the second is the fairer one where other processes are busy."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(updates):
        step()
    return (time.perf_counter() - wall) / updates, (time.process_time() - processor) / updates


def compare(recipe: Recipe, blocks: int, updates: int) -> dict[str, float]:
    """Updates a second of both, and the ratio of the times."""
    facts = env_facts(recipe.env.id)
    data = transitions(facts.observation_size, facts.action_size)
    mean, std = torch.zeros(facts.observation_size), torch.ones(facts.observation_size)
    batch_size = recipe.offline.batch_size
    layered, bare = (
        ours(recipe, data, Statistics(mean, std), batch_size),
        Bare(recipe, data, mean, std, batch_size).update,
    )
    for step in (layered, bare):
        seconds(step, 5)
    pairs = [(seconds(layered, updates), seconds(bare, updates)) for _ in range(blocks)]
    return {
        "batch_size": batch_size,
        "ours_updates_per_s": 1 / statistics.median(mine[0] for mine, _ in pairs),
        "bare_updates_per_s": 1 / statistics.median(theirs[0] for _, theirs in pairs),
        "wall_ratio": statistics.median(mine[0] / theirs[0] for mine, theirs in pairs),
        "processor_ratio": statistics.median(mine[1] / theirs[1] for mine, theirs in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="door")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.getLogger("torchrl").setLevel(logging.WARNING)
    recipe = load_recipe(arguments.recipe, arguments.overrides).recipe
    result = compare(recipe, arguments.blocks, arguments.updates)
    numbers = {name: round(value, 3) for name, value in result.items()}
    sys.stdout.write(json.dumps({"recipe": recipe.name, "threads": arguments.threads, **numbers}) + "\n")


if __name__ == "__main__":
    main()
