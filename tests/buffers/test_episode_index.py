"""The future of a row, held against a list of everything that was ever written."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from awac_tr.buffers.episode_index import EpisodeIndex

SEQUENCES = 200
"""Of up to eight calls each, for each number of workers; 5,000 were run once."""


@dataclass
class Worker:
    """Writes episodes of random lengths; one goes on from round to round."""

    name: int
    rng: np.random.Generator
    left: int = 0
    count: int = 0

    def take(self, steps: int) -> list[tuple[int, bool]]:
        """(episode, done) of so many steps."""
        rows = []
        for _ in range(steps):
            if not self.left:
                self.left, self.count = int(self.rng.integers(1, 9)), self.count + 1
            self.left -= 1
            rows.append((self.name * 10_000 + self.count, not self.left))
        return rows


@dataclass
class Everything:
    """The oracle: what was written where, in order."""

    capacity: int
    written: list[tuple[int, bool]] = field(default_factory=list)

    def add(self, rows: list[tuple[int, bool]]) -> torch.Tensor:
        begin = len(self.written)
        self.written += rows
        return torch.arange(begin, begin + len(rows)) % self.capacity

    def futures(self) -> dict[int, list[int]]:
        """Row -> that row and the later ones of its episode, in order; of all rows that are still there."""
        alive = range(max(0, len(self.written) - self.capacity), len(self.written))
        of: dict[int, list[int]] = {}
        for when in alive:
            of.setdefault(self.written[when][0], []).append(when % self.capacity)
        return {row: rows[place:] for rows in of.values() for place, row in enumerate(rows)}


def add(index: EpisodeIndex, everything: Everything, rows: list[tuple[int, bool]]) -> None:
    episodes, done = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    index.add(everything.add(rows), episodes, done)


def check(index: EpisodeIndex, everything: Everything) -> None:
    futures = everything.futures()
    asked = [
        (row, (place + 0.5) / len(rest), later) for row, rest in futures.items() for place, later in enumerate(rest)
    ]
    rows, shares, expected = (list(column) for column in zip(*asked, strict=True))
    assert index.later(torch.tensor(rows), torch.tensor(shares, dtype=torch.float64)).tolist() == expected


def rounds(rng: np.random.Generator, workers: list[Worker], capacity: int) -> list[tuple[int, bool]]:
    """What one call is given: one round of all workers, or several rounds one behind the other."""
    rows: list[tuple[int, bool]] = []
    count = int(rng.integers(1, 4))
    for _ in range(count):
        steps = int(rng.integers(1, capacity // count + 1))
        for worker, share in zip(workers, np.array_split(np.arange(steps), len(workers)), strict=True):
            rows += worker.take(len(share))
    return rows


@pytest.mark.parametrize("count", [1, 2, 5])
def test_random_sequences(count: int) -> None:
    """Interleaved workers, wrap-around, episodes in several pieces within a call and between calls, and breaks."""
    for seed in range(SEQUENCES):
        rng = np.random.default_rng([seed, count])
        capacity = int(rng.integers(8, 60))
        index, everything = EpisodeIndex(capacity), Everything(capacity)
        workers = [Worker(name, rng) for name in range(count)]
        for turn in range(int(rng.integers(2, 9))):
            if rng.random() < 0.1:  # a run that goes on after a stop begins new episodes
                workers = [Worker(100 * (turn + 1) + worker.name, rng) for worker in workers]
            add(index, everything, rounds(rng, workers, capacity))
            check(index, everything)


def test_an_episode_under_way_has_a_future_up_to_its_newest_row() -> None:
    index, everything = EpisodeIndex(10), Everything(10)
    add(index, everything, [(1, False), (1, False), (2, False)])
    add(index, everything, [(1, False), (2, True)])
    nearly_one = torch.tensor([1 - 2**-53] * 3, dtype=torch.float64)
    assert index.later(torch.tensor([0, 1, 2]), nearly_one).tolist() == [3, 3, 4]
    assert index.later(torch.tensor([0, 1, 2]), torch.zeros(3, dtype=torch.float64)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("rows", [[(1, True), (1, False)], [(1, True), (2, False), (1, False)]])
def test_rows_after_an_end_are_refused(rows: list[tuple[int, bool]]) -> None:
    with pytest.raises(ValueError, match="follow the end"):
        add(EpisodeIndex(10), Everything(10), rows)


def test_a_million_rows_are_no_matter() -> None:
    """5,000 episodes, then rounds of 1,000 steps that overwrite them."""
    index = EpisodeIndex(1_000_000)
    names, done = np.repeat(np.arange(5_000), 200), np.tile(np.arange(200) == 199, 5_000)
    index.add(torch.arange(1_000_000), names, done)
    begun = time.process_time()
    for turn in range(20):
        some = slice(turn * 1000, turn * 1000 + 1000)
        index.add(torch.arange(turn * 1000, turn * 1000 + 1000), 10_000 + names[some], done[some])
        for _ in range(10):
            index.later(torch.randint(1_000_000, (307,)), torch.rand(307, dtype=torch.float64))
    assert time.process_time() - begun < 2
