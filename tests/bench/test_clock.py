"""Blocks in turns, and what is said of them."""

from __future__ import annotations

import time

import pytest
import torch

from awac_tr.bench.clock import Rate, Task, fitted, in_turns, ratio


def test_tasks_take_turns() -> None:
    order: list[str] = []
    tasks = {name: Task(lambda name=name: order.append(name), count=2) for name in ("a", "b")}
    done: list[int] = []
    rates = in_turns(tasks, 3, tell=done.append)
    assert order == ["a", "a", "b", "b"] * 3
    assert done == [1, 2, 3]
    assert [len(rate.samples) for rate in rates.values()] == [3, 3]


def test_a_rate_is_units_per_second() -> None:
    rates = in_turns({"sleep": Task(lambda: time.sleep(0.02), count=2)}, 3)
    assert 10 < rates["sleep"].median <= 50
    assert rates["sleep"].busy < 0.5  # asleep, it uses no processor


def test_threads_are_set_for_a_block_only() -> None:
    seen: list[int] = []
    before = torch.get_num_threads()
    in_turns({"two": Task(lambda: seen.append(torch.get_num_threads()), count=1, threads=before + 1)}, 2)
    assert seen == [before + 1] * 2
    assert torch.get_num_threads() == before


def test_a_ratio_is_over_neighbouring_blocks() -> None:
    # the machine slows down by the half in the second block, and ours is twice as fast throughout
    assert ratio(Rate((20.0, 10.0, 20.0)), Rate((10.0, 5.0, 10.0))) == 2.0


def test_ratios_need_the_same_blocks() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio(Rate((1.0, 2.0)), Rate((1.0,)))


def test_json_has_every_block() -> None:
    found = Rate((3.0, 1.0, 2.0), busy=0.5).to_json()
    assert found == {"median": 2.0, "low": 1.0, "high": 3.0, "busy": 0.5, "samples": [3.0, 1.0, 2.0]}


def test_a_slow_task_gets_shorter_blocks_and_a_quick_one_does_not() -> None:
    assert fitted(Task(lambda: time.sleep(0.05), count=100), seconds=0.1).count <= 2
    assert fitted(Task(lambda: time.sleep(0.05), count=100), seconds=0.001).count == 1
    assert fitted(Task(lambda: None, count=7), seconds=1.0).count == 7
