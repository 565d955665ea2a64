"""AWAC in one file of plain torch, to be read: from a dataset to a policy that goes on learning online.

    python docs/awac_in_one_file.py datasets/door-demos.hdf5 --env door-binary-v0 --offline 1000 --online 2000

Equations, sections and Table 1 are those of Nair et al. (arXiv:2006.09359). "Code" is what the paper leaves open, as
its authors' scripts in rlkit have it; "ours" is what neither has. With the same seed the package's losses are these, to
the last bit (tests/test_one_file.py); it is faster, knows more kinds of tasks, and can be interrupted. Here
observations are vectors and actions lie in [-1, 1].
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice, pairwise
from typing import Any, NamedTuple

import gymnasium
import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import awac_tr.envs  # noqa: F401  (registers pen-, door- and relocate-binary-v0 with Gymnasium)

INF = float("inf")
PAPER: dict[str, Any] = {
    "policy_hidden": (256, 256, 256, 256),  # Table 1
    "q_hidden": (256, 256, 256, 256),  # Table 1
    "policy_adam": {"lr": 3e-4, "weight_decay": 1e-4},  # Table 1
    "q_adam": {"lr": 3e-4, "weight_decay": 0.0},  # Table 1
    "gamma": 0.99,  # Table 1: discount
    "tau": 5e-3,  # Table 1: the critic's share in its target, an update
    "temperature": 0.3,  # lambda of Eq. 10; A.3: 0.3 for manipulation, 1.0 for locomotion
    "weights": "exp",  # A.3: exp(A / lambda), Z(s) left out
    "advantage_max": INF,
    "weight_max": 100.0,  # ours: without a cap exp overflows; INF is the paper to the letter
    "value": "sample",  # V(s) is an expectation over pi: Q at one action drawn from it
    "q_min": -1 / (1 - 0.99),  # ours: no return lies below, for rewards in [-1, 0]
    "q_max": 0.0,  # A.3: "we clamp the Q value for these experiments to be at most zero"
    "ignore_terminals": False,
    "offline_batch": 1024,  # Table 1
    "online_batch": 1024,  # Table 1
}
SETTINGS = {
    "paper": PAPER,
    "paper-locomotion": PAPER | {"temperature": 1.0, "q_min": -INF, "q_max": INF},
    "authors": PAPER  # the authors' scripts for the hand, where they differ from their paper
    | {"policy_hidden": (256, 256), "q_hidden": (256, 256), "temperature": 0.5, "weights": "softmax", "value": "mean"}
    | {"advantage_max": 0.5, "weight_max": INF, "q_min": -INF, "ignore_terminals": True, "offline_batch": 128},
}
CAPACITY = 1_000_000  # Table 1
ROUND = 1000  # Code: environment steps, then as many updates (Table 1: one a step)


class Transitions(NamedTuple):
    """(s, a, r, s') of the dataset D and the buffer beta, [N, ...] float32; terminated: 1 where no future follows."""

    s: Tensor
    a: Tensor
    r: Tensor
    s_next: Tensor
    terminated: Tensor


class Buffer:
    """Beta of Algorithm 1: the dataset, and what is collected; when it is full, the oldest rows give way."""

    def __init__(self, path: str, capacity: int = CAPACITY) -> None:
        names = ("observations", "actions", "rewards", "next_observations", "terminals")
        with h5py.File(path, "r") as file:  # timeouts are no terminals: an episode that was cut has a future
            columns = [torch.from_numpy(np.asarray(file[name][:], np.float32)) for name in names]
        self.size = self.written = len(columns[0])
        self.rows = Transitions(*(column.new_empty(capacity, *column.shape[1:]) for column in columns))
        for row, column in zip(self.rows, columns, strict=True):
            row[: self.size] = column

    def add(self, *step: Any) -> None:
        """Line 10 of Algorithm 1."""
        for row, value in zip(self.rows, step, strict=True):
            row[self.written % len(row)] = torch.as_tensor(value, dtype=torch.float32)
        self.written += 1
        self.size = min(self.written, len(self.rows.s))

    def sample(self, n: int, generator: torch.Generator) -> Transitions:
        """Line 5 of Algorithm 1: uniformly, data of before and of now alike."""
        index = torch.randint(self.size, (n,), generator=generator)
        return Transitions(*(row[index] for row in self.rows))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Ours: mean and deviation [o] by which networks standardise observations, 1 for entries that do not vary."""
        deviation, mean = torch.std_mean(self.rows.s[: self.size].double(), 0, correction=0)
        return mean.float(), torch.where(deviation < 1e-6, 1.0, deviation).float()  # noqa: PLR2004


class Net(nn.Sequential):
    """ReLU layers (Table 1) over standardised observations, joined by actions where this is Q_phi(s, a)."""

    def __init__(self, statistics: tuple[Tensor, Tensor], extra: int, hidden: tuple[int, ...], out: int) -> None:
        sizes = (len(statistics[0]) + extra, *hidden)
        layers = [part for n, m in pairwise(sizes) for part in (nn.Linear(n, m), nn.ReLU())]
        super().__init__(*layers, nn.Linear(sizes[-1], out))
        self.loc, self.scale = statistics

    def forward(self, s: Tensor, *action: Tensor) -> Tensor:
        """[B, out]."""
        return super().forward(torch.cat([(s - self.loc) / self.scale, *action], -1))


class Policy(nn.Module):
    """pi_theta(a | s), a Gaussian (Code): mean tanh(net(s)), one deviation for all states that starts at exp(-3)."""

    def __init__(self, statistics: tuple[Tensor, Tensor], action_size: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.net = Net(statistics, 0, hidden, action_size)
        nn.init.uniform_(self.net[-1].get_parameter("weight"), -1e-3, 1e-3)  # Code: means start near 0
        nn.init.zeros_(self.net[-1].get_parameter("bias"))
        self.p = nn.Parameter(torch.zeros(action_size))

    def forward(self, s: Tensor) -> Normal:
        """The distribution at states [B, o]; nothing squashes its samples, the environment clips them."""
        mean = self.net(s).tanh()
        std = torch.exp(-6 + 6 * torch.sigmoid(self.p))
        return Normal(mean, std.expand_as(mean), validate_args=False)


class AWAC(nn.Module):
    """Lines 6 and 7 of Algorithm 1. From TD3 (A.3): two critics, their minimum, and targets that follow slowly."""

    def __init__(self, statistics: tuple[Tensor, Tensor], action_size: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.cfg = settings
        self.policy = Policy(statistics, action_size, settings["policy_hidden"])
        self.critics = nn.ModuleList(Net(statistics, action_size, settings["q_hidden"], 1) for _ in range(2))
        self.targets = deepcopy(self.critics).requires_grad_(requires_grad=False)
        parts = (("policy", self.policy), ("q", self.critics))
        groups = [{"params": net.parameters(), **settings[f"{name}_adam"]} for name, net in parts]
        self.optimizer = torch.optim.Adam(groups, fused=True)

    def lowest(self, qs: list[Tensor]) -> Tensor:
        """The minimum of critics [B, 1] within the bounds; of values that are used, never of one that is trained."""
        return torch.minimum(*qs).clamp(self.cfg["q_min"], self.cfg["q_max"])

    def q_loss(self, batch: Transitions, qs: list[Tensor]) -> Tensor:
        """Eq. 3: mean over B of the squared distances to y = r + gamma Q_target(s', a'), a' ~ pi(. | s')."""
        future = 1 - batch.terminated * (not self.cfg["ignore_terminals"])
        with torch.no_grad():
            a_next = self.policy(batch.s_next).sample()
            q_next = self.lowest([target(batch.s_next, a_next) for target in self.targets])
            y = batch.r[:, None] + self.cfg["gamma"] * future[:, None] * q_next
        return torch.stack([(q - y) ** 2 for q in qs]).sum(0).mean()

    def policy_loss(self, batch: Transitions, qs: list[Tensor]) -> Tensor:
        """Eq. 10 (Eq. 20): maximise log pi(a | s) exp(A(s, a) / lambda) / Z(s) over states and actions of the batch."""
        pi = self.policy(batch.s)
        with torch.no_grad():
            # Section 2: A(s, a) = Q(s, a) - V(s), and V(s) = E Q(s, a), a ~ pi: at one sample, or at the mean (Code)
            action = pi.mean if self.cfg["value"] == "mean" else pi.sample()
            v = self.lowest([critic(batch.s, action) for critic in self.critics])
            advantage = (self.lowest(qs) - v).squeeze(-1)
            scaled = advantage.clamp(max=self.cfg["advantage_max"]) / self.cfg["temperature"]
            # A.3: without Z; or (Code) its mean over the batch stands for it
            w = scaled.exp() if self.cfg["weights"] == "exp" else scaled.softmax(0) * len(scaled)
        return -(w.clamp(max=self.cfg["weight_max"]) * pi.log_prob(batch.a).sum(-1)).mean()

    def update(self, batch: Transitions) -> tuple[float, float]:
        """One step on both losses, at the same parameters (Code), and one of the targets; (policy loss, Q loss)."""
        qs = [critic(batch.s, batch.a) for critic in self.critics]
        policy_loss, q_loss = self.policy_loss(batch, qs), self.q_loss(batch, qs)
        self.zero_grad()
        (policy_loss + q_loss).backward()  # neither reaches the parameters of the other
        self.optimizer.step()
        with torch.no_grad():
            for target, critic in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
                target.lerp_(critic, self.cfg["tau"])
        return policy_loss.item(), q_loss.item()

    @torch.no_grad()
    def act(self, s: np.ndarray[Any, Any], *, explore: bool) -> np.ndarray[Any, Any]:
        """An action [a]: a sample (Table 1: no other noise), or the mean; clipped, so that what is stored was done."""
        pi = self.policy(torch.as_tensor(s, dtype=torch.float32)[None])
        return np.asarray((pi.sample() if explore else pi.mean)[0].clamp(-1, 1))


def experience(env: gymnasium.Env[Any, Any], agent: AWAC, seed: int) -> Iterator[tuple[Any, ...]]:
    """Line 9 of Algorithm 1: (s, a, r, s', terminated), episode after episode."""
    s, _ = env.reset(seed=seed)
    while True:
        a = agent.act(s, explore=True)
        s_next, r, terminated, truncated, _ = env.step(a)
        yield s, a, r, s_next, terminated
        s = env.reset()[0] if terminated or truncated else s_next


def evaluate(env: gymnasium.Env[Any, Any], agent: AWAC, episodes: int) -> str:
    """Success at any step, share of steps with success and return of the mean action, always from the same starts."""
    scores = []
    for seed in range(1_000_000, 1_000_000 + episodes):
        (s, _), steps, over = env.reset(seed=seed), [], False
        while not over:
            s, r, terminated, truncated, info = env.step(agent.act(s, explore=False))
            steps.append((float(r), bool(info.get("success", False))))
            over = terminated or truncated
        rewards, successes = zip(*steps, strict=True)
        scores.append((any(successes), np.mean(successes), sum(rewards)))
    reached, share, total = np.mean(scores, axis=0)
    return f"success {reached:.0%}  share of steps {share:.3f}  return {total:.1f}"


def make(buffer: Buffer, settings: dict[str, Any], seed: int) -> tuple[AWAC, torch.Generator, int]:
    """Line 3 of Algorithm 1: the agent, with the generator of batches and the seed of the environment."""
    weights, batches, episodes = (int(word) % 2**31 for word in np.random.SeedSequence(seed).generate_state(3))
    torch.manual_seed(weights)
    agent = AWAC(buffer.statistics(), buffer.rows.a.shape[1], settings)
    return agent, torch.Generator().manual_seed(batches), episodes


def main() -> None:
    """Algorithm 1."""
    parser = argparse.ArgumentParser(description="AWAC in one file")
    parser.add_argument("dataset", help="HDF5 file of awac-tr, or of D4RL with next_observations")
    parser.add_argument("--env", default="door-binary-v0", help="Gymnasium id")
    parser.add_argument("--settings", default="paper", choices=SETTINGS)
    parser.add_argument("--offline", type=int, default=25_000, help="updates before the first online step (Table 1)")
    parser.add_argument("--online", type=int, default=300_000, help="environment steps, with one update each")
    parser.add_argument("--episodes", type=int, default=20, help="of an evaluation")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    settings, buffer, test_env = SETTINGS[args.settings], Buffer(args.dataset), gymnasium.make(args.env)
    low, high = buffer.rows.r[: buffer.size].aminmax()
    if settings["q_max"] == 0 and (low < -1 or high > 0):
        parser.error("these settings bound values for rewards in [-1, 0]; --settings paper-locomotion does not")
    agent, generator, env_seed = make(buffer, settings, args.seed)
    steps = experience(gymnasium.make(args.env), agent, env_seed)
    print(f"start  {evaluate(test_env, agent, args.episodes)}")
    for phase, total in (("offline", args.offline), ("online", args.online)):  # one loop; line 8 switches to online
        for start in range(0, total, ROUND):
            count = min(ROUND, total - start)
            for step in islice(steps, count if phase == "online" else 0):
                buffer.add(*step)
            losses = [agent.update(buffer.sample(settings[f"{phase}_batch"], generator)) for _ in range(count)]
            policy_loss, q_loss = np.mean(losses, axis=0)
            score = evaluate(test_env, agent, args.episodes)
            print(f"{phase} {start + count}  policy loss {policy_loss:.4g}  Q loss {q_loss:.4g}  {score}", flush=True)


if __name__ == "__main__":
    main()
