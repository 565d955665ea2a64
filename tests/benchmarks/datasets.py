"""Datasets at scale: writing against the disk, loading, merging and filtering, training with little memory, workers.

Every part prints one JSON object. Wall time is what a user waits for, processor time what is left of it where other
programs share the machine; medians over the rounds. Files lie in a temporary folder (``--folder`` names its place) and
are removed. Not collected by pytest::

    OMP_NUM_THREADS=1 python tests/benchmarks/datasets.py write load combine memory collect
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode

STEPS, SIZES = 200, (39, 28)
MEGABYTE = 1e6
ROW_BYTES = 4 * (2 * SIZES[0] + SIZES[1] + 1) + 3


def timed(act: Callable[[], Any]) -> dict[str, float]:
    """Seconds of the clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    act()
    return {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


def medians(rounds: list[dict[str, float]], amount: float) -> dict[str, float]:
    """Amount a second by either clock."""
    return {f"{clock}": round(amount / statistics.median(one[clock] for one in rounds), 1) for clock in rounds[0]}


def make_episodes(count: int) -> list[Episode]:
    """Episodes of the door's sizes, of noise."""
    rng, last, blank = np.random.default_rng(0), np.arange(STEPS) == STEPS - 1, np.zeros(STEPS, bool)
    made = []
    for seed in range(count):
        states = rng.normal(size=(STEPS + 1, SIZES[0])).astype(np.float32)
        actions = rng.uniform(-1, 1, (STEPS, SIZES[1])).astype(np.float32)
        rewards = -(rng.random(STEPS) > 0.1).astype(np.float32)
        made.append(Episode(states[:-1], actions, rewards, states[1:], blank, last, {"success": rewards == 0}, seed))
    return made


def write_dataset(path: Path, episodes: list[Episode], rows: int, env_id: str = "door-binary-v0") -> None:
    meta = DatasetMeta(env_id, "random", [-1] * SIZES[1], [1] * SIZES[1], horizon=STEPS)
    with DatasetWriter(path, meta, overwrite=True) as writer:
        for number in range(rows // STEPS):
            writer.append(episodes[number % len(episodes)])
        writer.finish()


def write_raw(path: Path, size: int) -> None:
    """As much through the plainest way there is: write, wait for the disk."""
    block = os.urandom(1 << 20)
    with path.open("wb", buffering=0) as file:
        for _ in range(size >> 20):
            file.write(block)
        os.fsync(file.fileno())


def bench_write(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    episodes, path, raw = make_episodes(64), folder / "a.hdf5", folder / "raw"
    ours, disk = [], []
    for _ in range(rounds):
        ours.append(timed(lambda: write_dataset(path, episodes, rows)))
        size = path.stat().st_size
        path.unlink()
        disk.append(timed(partial(write_raw, raw, size)))
        raw.unlink()
    shares = [theirs["wall"] / own["wall"] for own, theirs in zip(ours, disk, strict=True)]
    return {
        "MB": round(size / MEGABYTE, 1),
        "dataset_MB_per_s": medians(ours, size / MEGABYTE),
        "raw_MB_per_s": medians(disk, size / MEGABYTE),
        "share_of_disk": round(statistics.median(shares), 3),
    }


def bench_load(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Twice the file into one buffer, so that a million rows take half the disk."""
    from awac_tr.buffers.buffer import load_buffer, observation_statistics

    path = folder / "a.hdf5"
    write_dataset(path, make_episodes(64), rows)
    found: dict[str, Any] = {"rows": 2 * rows}
    for storage in ("memory", "memmap"):
        seconds, statistic_seconds = [], []
        for _ in range(rounds):
            buffers: list[Any] = []
            load = timed(
                lambda storage=storage, buffers=buffers: buffers.append(
                    load_buffer([path, path], 2 * rows, storage=storage, folder=folder)
                )
            )
            seconds.append(load)
            statistic_seconds.append(timed(lambda buffers=buffers: observation_statistics(buffers[0])))
        found[storage] = {
            "seconds": {clock: round(statistics.median(one[clock] for one in seconds), 2) for clock in seconds[0]},
            "best_seconds": {clock: round(min(one[clock] for one in seconds), 2) for clock in seconds[0]},
            "rows_per_s": medians(seconds, 2 * rows),
            "statistics_seconds": round(statistics.median(one["wall"] for one in statistic_seconds), 2),
        }
    return found


def in_limits(code: str, folder: Path, room: int | None = None) -> dict[str, Any]:
    """Run code in a process of its own that may allocate ``room`` bytes more than after its imports.

    The code defines ``prepare()`` and ``act()``, of which the second is measured.
    """
    script = f"""
import json, logging, resource, time
logging.getLogger("torchrl").setLevel(logging.WARNING)
{code}
prepare()
status = lambda: dict(line.split(":", 1) for line in open("/proc/self/status"))
kilobytes = lambda name: int(status()[name].split()[0])
before = kilobytes("VmHWM"), kilobytes("VmData")
room = {room}
if room is not None:
    limit = before[1] * 1024 + room
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
wall, processor = time.perf_counter(), time.process_time()
act()
clocks = {{"wall_s": round(time.perf_counter() - wall, 2), "processor_s": round(time.process_time() - processor, 2)}}
print(json.dumps({{**clocks, "peak_growth_MB": round((kilobytes("VmHWM") - before[0]) / 1e3, 1)}}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1][:200]}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


COMBINE = """
from awac_tr.data.ops.filter import Choice, filter_dataset
from awac_tr.data.ops.merge import merge
from awac_tr.data.ops.split import split
def prepare(): filter_dataset("small.hdf5", "b.hdf5", Choice(), overwrite=True)
def act(): {act}
"""

ACTS = {
    "filter_half": "filter_dataset('a.hdf5', 'b.hdf5', Choice(where='episode % 2 == 0'), overwrite=True)",
    "filter_all": "filter_dataset('a.hdf5', 'b.hdf5', Choice(), overwrite=True)",
    "split": "split('a.hdf5', dict(x=0.6, y=0.4), overwrite=True)",
    "merge": "merge(['a-x.hdf5', 'a-y.hdf5'], 'b.hdf5', overwrite=True)",
}


def bench_combine(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    write_dataset(folder / "small.hdf5", make_episodes(2), 2 * STEPS)
    found: dict[str, Any] = {}
    for name, act in ACTS.items():
        write_dataset(folder / "a.hdf5", make_episodes(64), rows)
        size = (folder / "a.hdf5").stat().st_size
        if name == "merge":
            in_limits(COMBINE.format(act=ACTS["split"]), folder)
            (folder / "a.hdf5").unlink()
        results = [in_limits(COMBINE.format(act=act), folder) for _ in range(rounds)]
        found[name] = {
            "MB": round(size / MEGABYTE, 1),
            "MB_per_s": round(size / MEGABYTE / statistics.median(one["wall_s"] for one in results), 1),
            "processor_MB_per_s": round(size / MEGABYTE / statistics.median(one["processor_s"] for one in results), 1),
            "peak_growth_MB": max(one["peak_growth_MB"] for one in results),
        }
        (folder / "b.hdf5").unlink()
    return found


TRAIN = """
from pathlib import Path
from awac_tr.recipes.loader import load_recipe
from awac_tr.training.train import train
def run(name, dataset):
    train(load_recipe("door", [
        f"data.datasets=[{{dataset}}]", "offline.updates=60", "offline.batch_size=1024", "online.steps=0",
        "eval.episodes=1", "policy.hidden_sizes=[64,64]", "qvalue.hidden_sizes=[64,64]", "threads=1",
        "buffer.storage={storage}", "buffer.capacity={capacity}", "device=cpu"]), run_dir=Path(name), quiet=True)
def prepare(): run("warm", "./small.hdf5")
def act(): run("run", "./a.hdf5")
"""


def bench_memory(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Train from a file larger than the memory that may be allocated."""
    write_dataset(folder / "small.hdf5", make_episodes(20), 20 * STEPS)
    write_dataset(folder / "a.hdf5", make_episodes(64), rows)
    size, found = (folder / "a.hdf5").stat().st_size, {}
    for storage in ("memmap", "memory"):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            for name in ("small.hdf5", "a.hdf5"):
                (Path(place) / name).symlink_to(folder / name)
            code = TRAIN.format(storage=storage, capacity=rows)
            found[storage] = in_limits(code, Path(place), room=size // 3)
    return {"file_MB": round(size / MEGABYTE, 1), "may_allocate_MB": round(size / 3 / MEGABYTE, 1), **found}


def bench_collect(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """The packaged demonstrator's rollouts by 1, 2 and as many processes as there are cores."""
    from awac_tr.collect import collect, plan

    cores, n = len(os.sched_getaffinity(0)), min(24, rows // STEPS)
    found: dict[str, Any] = {"cores": cores, "load_before": os.getloadavg()[0], "episodes": n}
    hashes = set()
    for workers in sorted({1, 2, cores}):
        rates, steady = [], []
        for number in range(rounds):
            out, clock = folder / f"{workers}-{number}.hdf5", [time.perf_counter()]
            job = plan("demos", env="door-binary-v0", n=n, seed=0, out=out)
            report = collect(job, workers=workers, on_episode=lambda _, clock=clock: clock.append(time.perf_counter()))
            hashes.add(report.content_hash)
            rates.append(report.steps_per_second)
            # processes start, and the first episode of each is under way, before episodes come at their rate
            steady.append(STEPS * (n - workers) / (clock[-1] - clock[workers]))
        found[f"workers_{workers}"] = {
            "steps_per_s": round(statistics.median(rates), 1),
            "steps_per_s_once_started": round(statistics.median(steady), 1),
        }
    return {**found, "same_file": len(hashes) == 1}


PARTS = {
    "write": bench_write,
    "load": bench_load,
    "combine": bench_combine,
    "memory": bench_memory,
    "collect": bench_collect,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--rows", type=int, default=500_000, help="transitions of a file (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made (default: the system's)")
    options = parser.parse_args()
    logging.getLogger("torchrl").setLevel(logging.WARNING)
    for part in options.parts:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found = PARTS[part](Path(folder), options.rows, options.rounds)
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        sys.stdout.write(json.dumps({"part": part, **found, "peak_rss_MB": peak}) + "\n")


if __name__ == "__main__":
    main()
