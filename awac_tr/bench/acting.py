"""Environment steps: bare, through our collector, and as part of a whole online round."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from awac_tr.bench.clock import Rate, Task, Tell, in_turns, settle
from awac_tr.bench.subject import Bench, Subject
from awac_tr.collectors.online import OnlineCollector
from awac_tr.envs.make import make_env

__all__ = ["Round", "online_rounds", "stepping"]


@dataclass(frozen=True)
class Round:
    """An online round of a recipe, seconds by part, each over several rounds.

    Attributes:
        steps: environment steps of one round.
        updates: updates of one round.
        seconds: part -> seconds in each round: ``steps`` (simulator and policy; with ``collect.async`` only the
            waiting for them), ``buffer`` (putting transitions in), ``updates`` (with sampling).
    """

    steps: int
    updates: int
    seconds: dict[str, tuple[float, ...]]

    @property
    def total_seconds(self) -> float:
        """Of one round, the mean over all."""
        return float(sum(np.mean(seconds) for seconds in self.seconds.values()))

    def shares(self) -> dict[str, float]:
        """Each part's share of the time of all rounds."""
        total = sum(map(sum, self.seconds.values()))
        return {part: sum(seconds) / total for part, seconds in self.seconds.items()}

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        medians = {part: float(np.median(seconds)) for part, seconds in self.seconds.items()}
        return {"steps": self.steps, "updates": self.updates, "seconds": medians, "shares": self.shares()}


def stepping(bench: Bench, subject: Subject, steps: int, blocks: int, tell: Tell) -> tuple[Rate, Rate]:
    """Environment steps a second with random actions, and through our collector with a subject's policy.

    Blocks of ``steps`` take turns.
    """
    with closing(_collector(bench, subject)) as collector, closing(make_env(bench.recipe.env)) as env:
        collector.collect(steps)
        bare = Task(_random_play(env, bench.recipe.seed), steps)
        rates = in_turns({"bare": bare, "collector": Task(lambda: collector.collect(steps), 1)}, blocks, tell=tell)
    return rates["bare"], rates["collector"].scaled(steps)


def _collector(bench: Bench, subject: Subject) -> OnlineCollector:
    recipe = bench.recipe
    return OnlineCollector(recipe.env, subject.learner.act, seed=recipe.seed, how=recipe.collect)


def _random_play(env: Any, seed: int) -> Callable[[], None]:
    """A step with a uniformly random action, drawn beforehand, and a reset where an episode ends."""
    env.action_space.seed(seed)
    actions = cycle([env.action_space.sample() for _ in range(64)])
    env.reset(seed=seed)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(next(actions))
        if terminated or truncated:
            env.reset()

    return step


def online_rounds(bench: Bench, subject: Subject, steps: int, rounds: int, tell: Tell) -> Round:
    """Rounds of environment steps, kept in the buffer, and the updates they owe, as the training loop makes them.

    The recipe's rounds are usually of a thousand steps, and the shares are the same for fewer. One more round goes
    before those that are timed.
    """
    updates = max(1, round(steps * bench.recipe.online.updates_per_step))
    seconds: dict[str, list[float]] = {"steps": [], "buffer": [], "updates": []}
    with closing(_collector(bench, subject)) as collector:
        collector.collect(steps, then=steps)
        for number in range(rounds):
            clock = [time.perf_counter()]
            transitions = collector.collect(steps, then=steps)
            clock.append(time.perf_counter())
            bench.buffer.extend(transitions)
            clock.append(time.perf_counter())
            for _ in range(updates):
                subject.step()
            settle(bench.device)
            clock.append(time.perf_counter())
            for part, spent in zip(seconds, np.diff(clock), strict=True):
                seconds[part].append(float(spent))
            tell(number + 1)
    return Round(steps, updates, {part: tuple(values) for part, values in seconds.items()})
