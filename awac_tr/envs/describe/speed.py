"""How many steps a second an environment takes, with random actions, in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
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


class _Player:
    """Steps one environment, on and on, with actions drawn beforehand."""

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        self._env = env
        env.action_space.seed(seed)
        self._actions = [env.action_space.sample() for _ in range(_ACTIONS)]
        self._taken = 0
        env.reset(seed=seed)

    def play(self, steps: int) -> None:
        step, reset, actions = self._env.step, self._env.reset, self._actions
        for count in range(self._taken, self._taken + steps):
            _, _, terminated, truncated, _ = step(actions[count % _ACTIONS])
            if terminated or truncated:
                reset()
        self._taken += steps

    def block(self, steps: int) -> tuple[float, float]:
        """Seconds of the clock and of the processor for so many steps."""
        wall, processor = time.perf_counter(), time.process_time()
        self.play(steps)
        return time.perf_counter() - wall, time.process_time() - processor


def measure_speed(
    envs: Mapping[str, gymnasium.Env[Any, Any]], *, seconds: float = 2.0, blocks: int = 7, seed: int = 0
) -> dict[str, Speed]:
    """Step environments in turns, block by block, so that what else the machine does hits all of them alike.

    Args:
        envs: the environments by a name of the caller's; any action space. They stay open.
        seconds: of measuring, for all together.
        blocks: per environment.
        seed: of resets and actions.

    Returns:
        The speed of each, by the same names.
    """
    players = {name: _Player(env, seed) for name, env in envs.items()}
    sizes: dict[str, int] = {}
    for name, player in players.items():
        player.play(_WARM_UP)
        taken, _ = player.block(_WARM_UP)
        sizes[name] = max(1, round(seconds / len(players) / blocks * _WARM_UP / max(taken, 1e-9)))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in players}
    for _ in range(blocks):
        for name, player in players.items():
            times[name].append(player.block(sizes[name]))
    return {name: _speed(sizes[name], blocks) for name, blocks in times.items()}


def _speed(steps: int, times: list[tuple[float, float]]) -> Speed:
    wall, processor = (statistics.median(both[clock] for both in times) for clock in (0, 1))
    # A clock that ticks every 10 ms may stand still during a short block.
    return Speed(steps / wall, steps / (processor or wall), steps * len(times))
