"""How many steps a second an environment takes, with random actions, in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Final

import gymnasium

__all__ = ["Speed", "measure_speed"]

_ACTIONS: Final = 256
_WARM_UP: Final = 20


@dataclass(frozen=True)
class Speed:
    """Steps a second, medians over blocks, with the resets at the ends of episodes among them.

    Attributes:
        wall: by the clock.
        processor: by the time this process had a core, which is the fairer one where other programs run.
        steps: how many were taken in all.
    """

    wall: float
    processor: float
    steps: int


def measure_speed(
    envs: Mapping[str, gymnasium.Env[Any, Any]], *, seconds: float = 2.0, blocks: int = 7
) -> dict[str, Speed]:
    """Step environments in turns, block by block, so that what else the machine does hits all of them alike.

    Args:
        envs: the environments by a name of the caller's; any action space. They stay open.
        seconds: of measuring, for all together.
        blocks: per environment.

    Returns:
        The speed of each, by the same names.
    """
    players = {name: _player(env) for name, env in envs.items()}
    sizes: dict[str, int] = {}
    for name, play in players.items():
        play(_WARM_UP)
        taken, _ = play(_WARM_UP)
        sizes[name] = max(1, round(seconds / len(players) / blocks * _WARM_UP / max(taken, 1e-9)))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in players}
    for _ in range(blocks):
        for name, play in players.items():
            times[name].append(play(sizes[name]))
    return {name: _speed(sizes[name], taken) for name, taken in times.items()}


def _player(env: gymnasium.Env[Any, Any]) -> Callable[[int], tuple[float, float]]:
    """Takes so many steps with actions drawn beforehand; seconds of the clock and of the processor."""
    env.action_space.seed(0)
    actions = cycle([env.action_space.sample() for _ in range(_ACTIONS)])
    env.reset(seed=0)

    def play(steps: int) -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.process_time()
        for action in islice(actions, steps):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return time.perf_counter() - wall, time.process_time() - processor

    return play


def _speed(steps: int, times: list[tuple[float, float]]) -> Speed:
    wall, processor = (statistics.median(both[clock] for both in times) for clock in (0, 1))
    # A clock that ticks every 10 ms may stand still during a short block.
    return Speed(steps / wall, steps / (processor or wall), steps * len(times))
