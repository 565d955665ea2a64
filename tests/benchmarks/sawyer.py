"""What SawyerPush-v0 costs beside the simulator in it: a step against 50 bare simulator steps with the same targets.

Both move the hand's target alike, so that hand and puck meet as often; blocks of the two alternate, and the medians of
their speeds are printed as JSON, of wall time and of processor time, which is the fairer one where other processes are
busy. Not collected by pytest::

    OMP_NUM_THREADS=1 taskset -c 0 python tests/benchmarks/sawyer.py --blocks 15
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import mujoco
import numpy as np

from awac_tr.envs.make import make_env
from awac_tr.envs.sawyer.push import SawyerPushEnv
from awac_tr.envs.sawyer.task import ACTION_SCALE, HIGH, LOW

Block = Callable[[int], None]
HORIZON = 200


def actions(steps: int) -> np.ndarray:
    """Uniform in [-1, 1]."""
    return np.random.default_rng(0).uniform(-1, 1, (steps, 2)).astype(np.float32)


def whole(wrapped: bool) -> Block:
    """Steps of the environment, resets among them; wrapped: as policies step it."""
    env = make_env("SawyerPush-v0") if wrapped else SawyerPushEnv()
    env.reset(seed=0)

    def run(steps: int) -> None:
        for count, action in enumerate(actions(steps)):
            if count % HORIZON == 0:
                env.reset(seed=count)
            env.step(action)

    return run


def bare() -> Block:
    """The simulator alone, from the same starts; where the targets go is worked out beforehand."""
    env = SawyerPushEnv()
    starts: dict[int, dict[str, np.ndarray]] = {}

    def run(steps: int) -> None:
        targets = np.empty((steps, 2))
        for count, action in enumerate(actions(steps)):
            if count % HORIZON == 0:
                env.reset(seed=count)
                starts[count] = env.get_pose()
            before = starts[count]["hand_target"] if count in starts else targets[count - 1]
            targets[count] = np.clip(before + ACTION_SCALE * action, LOW, HIGH)
        model, data, step = env.model, env.data, mujoco.mj_step
        begin = time.perf_counter(), time.process_time()
        for count in range(steps):
            if count in starts:
                env.set_state(starts[count])
            data.mocap_pos[0, :2] = targets[count]
            step(model, data, env.frame_skip)
        run.spent = time.perf_counter() - begin[0], time.process_time() - begin[1]  # type: ignore[attr-defined]

    return run


def timed(block: Block, steps: int) -> tuple[float, float]:
    """Steps a second, by the clock and by processor time."""
    begin = time.perf_counter(), time.process_time()
    block(steps)
    spent = getattr(block, "spent", None) or (time.perf_counter() - begin[0], time.process_time() - begin[1])
    return steps / spent[0], steps / spent[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    blocks = {"substeps": bare(), "environment": whole(wrapped=False), "make_env": whole(wrapped=True)}
    for block in blocks.values():
        block(HORIZON)
    rounds = [{name: timed(block, options.steps) for name, block in blocks.items()} for _ in range(options.blocks)]
    report: dict[str, dict[str, float]] = {}
    for name in blocks:
        shares = [one[name][1] / one["substeps"][1] for one in rounds]
        report[name] = {
            "wall": round(statistics.median(one[name][0] for one in rounds)),
            "processor": round(statistics.median(one[name][1] for one in rounds)),
            "share_of_substeps": round(statistics.median(shares), 3),
        }
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
