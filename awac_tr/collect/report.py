"""What is told of a collection: after each episode, and at its end."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from awac_tr.collect.plan import Plan
from awac_tr.envs.episode import Episode
from awac_tr.envs.measures import measure
from awac_tr.training.cloning import clone_path

__all__ = ["CollectProgress", "CollectReport", "Tally"]


@dataclass(frozen=True)
class CollectProgress:
    """After each episode: episodes done of all, steps, steps/s since the start, share of successes so far or None."""

    episodes: int
    total: int
    steps: int
    steps_per_second: float
    success: float | None


@dataclass(frozen=True)
class CollectReport:
    """What was collected.

    Attributes:
        path: the dataset.
        content_hash: over its arrays.
        env_id: the environment.
        source: who acted.
        policy: the same in words.
        episodes: how many.
        transitions: how many.
        measures: means over the episodes: return, length, and the success measures where the environment has them.
        seconds: wall time, cloning included.
        steps_per_second: environment steps over the wall time of the rollouts alone.
        clone: the clone's checkpoint; None for other sources.
    """

    path: Path
    content_hash: str
    env_id: str
    source: str
    policy: str
    episodes: int
    transitions: int
    measures: dict[str, float]
    seconds: float
    steps_per_second: float
    clone: Path | None = None


class Tally:
    """Counts, rate and success while episodes come in."""

    def __init__(
        self, total: int, goal_steps: int | None, on_episode: Callable[[CollectProgress], None] | None
    ) -> None:
        self._total, self._goal_steps, self._on_episode = total, goal_steps, on_episode
        self._values: dict[str, list[float]] = defaultdict(list)
        self.episodes = self.steps = 0
        self.steps_per_second = 0.0
        self.start()

    def start(self) -> None:
        """From here on the rate counts."""
        self._start, self._steps_before = time.perf_counter(), self.steps

    def keep(self, episode: Episode) -> None:
        """Count an episode that was there before."""
        for name, values in measure([episode], self._goal_steps).items():
            self._values[name].append(float(values[0]))
        self.episodes += 1
        self.steps += len(episode)

    def add(self, episode: Episode) -> None:
        """Count an episode, and tell of it."""
        self.keep(episode)
        self.steps_per_second = (self.steps - self._steps_before) / (time.perf_counter() - self._start)
        if self._on_episode is not None:
            success = self.means().get("success_any")
            self._on_episode(CollectProgress(self.episodes, self._total, self.steps, self.steps_per_second, success))

    def means(self) -> dict[str, float]:
        """Over the episodes so far; measures that not every episode has are left out."""
        return {name: float(np.mean(values)) for name, values in self._values.items() if len(values) == self.episodes}

    def report(self, plan: Plan, policy: str, content_hash: str, seconds: float) -> CollectReport:
        """All of it; ``policy`` is what acted, in words, and ``seconds`` the wall time."""
        return CollectReport(
            path=plan.out,
            content_hash=content_hash,
            env_id=plan.env.name,
            source=plan.source,
            policy=policy,
            episodes=self.episodes,
            transitions=self.steps,
            measures=self.means(),
            seconds=seconds,
            steps_per_second=self.steps_per_second,
            clone=clone_path(plan.out) if plan.source == "bc" else None,
        )
