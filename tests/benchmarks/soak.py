"""A long run under watch: memory, open files and processes stay level, the buffer wraps around, logs stay bounded.

    python tests/benchmarks/soak.py --minutes 60

One run of `awac-tr train` on the door with small networks, collecting ahead in another process, evaluating in a third,
saving every few seconds, with a buffer that wraps around every few minutes; stopped at the end by SIGTERM. Figures are
of the whole family of processes, read from /proc every ten seconds; their slope is fitted to the second half.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

RECIPE = """
name: soak
env: {id: door-binary-v0, horizon: 50}
data: {datasets: [play.hdf5]}
policy: {hidden_sizes: [64, 64]}
qvalue: {hidden_sizes: [64, 64]}
algorithm: {value_bounds: reward_range}
compile: false
threads: 1
offline: {updates: 2000, batch_size: 128}
online: {steps: 100000000, batch_size: 128, steps_per_round: 1000, updates_per_step: 0.5}
collect: {async: true}
buffer: {capacity: 20000}
eval: {every: 2500, episodes: 5, background: true}
log: {every: 500}
checkpoint: {every: 2500}
"""
MIB = 1 << 20


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def look(pid: int) -> tuple[float, int, int]:
    """Resident memory in MiB, open files and processes of a family."""
    memory, files, alive = 0.0, 0, 0
    for one in family(pid):
        try:
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
            files += len(list(Path(f"/proc/{one}/fd").iterdir()))
        except OSError:  # gone meanwhile
            continue
        memory, alive = memory + pages * 4096 / MIB, alive + 1
    return memory, files, alive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "soak.yaml").write_text(RECIPE)
        awac_tr = [sys.executable, "-m", "awac_tr"]
        play = ["collect", "--source", "ou", "--horizon", "50", "--n", "40", "--out", "play.hdf5"]
        subprocess.run([*awac_tr, *play], cwd=place, check=True, capture_output=True)
        with (place / "log").open("w") as log:
            train = [*awac_tr, "train", "soak.yaml", "--run", "run"]
            process = subprocess.Popen(train, cwd=place, stdout=log, stderr=log)
            rows = watch(process, minutes)
        report(place / "run", np.array(rows))


def watch(process: subprocess.Popen[bytes], minutes: float) -> list[tuple[float, float, int, int]]:
    began, rows = time.monotonic(), []
    while (now := time.monotonic() - began) < 60 * minutes:
        time.sleep(10)
        if process.poll() is not None:
            raise SystemExit(f"the run ended by itself with {process.returncode}")
        rows.append((now / 3600, *look(process.pid)))
    process.send_signal(signal.SIGTERM)
    if process.wait(120) != 128 + signal.SIGTERM:
        raise SystemExit(f"after SIGTERM the run ended with {process.returncode}")
    return rows


def report(run: Path, table: np.ndarray) -> None:
    metrics = (run / "metrics.jsonl").read_bytes()
    last = json.loads(metrics.splitlines()[-1])
    steps = last["env_step"]
    filled = f"the buffer of 20,000 was filled {steps / 20_000:.1f} times"
    click.echo(f"{last['update']:,} updates, {steps:,} environment steps: {filled}")
    half = table[len(table) // 2 :]
    for index, what in ((1, "memory [MiB]"), (2, "open files"), (3, "processes")):
        slope = np.polyfit(half[:, 0], half[:, index], 1)[0]
        first, end = half[: len(half) // 4, index].mean(), half[-len(half) // 4 :, index].mean()
        click.echo(f"{what:14} second half: {first:.1f} -> {end:.1f}, slope {slope:+.2f} an hour")
    size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    checkpoints = sum(path.stat().st_size for path in (run / "checkpoints").rglob("*") if path.is_file())
    click.echo(f"metrics.jsonl  {len(metrics) / last['update']:.2f} bytes an update")
    click.echo(f"run folder     {size / MIB:.1f} MiB, {checkpoints / MIB:.1f} of them checkpoints and online data")


if __name__ == "__main__":
    main()
