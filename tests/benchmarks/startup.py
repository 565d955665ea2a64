"""How long one waits: for ``awac-tr --help``, and for the first update of ``awac-tr train``.

Processes are started one after another on a warm disk, the first of each not counted. A run begins with evaluations,
which its recipe asks for; they are simulation, and given apart. Prints JSON: medians in seconds, wall and processor
time (the fairer one where other processes are busy). Not collected by pytest::

    OMP_NUM_THREADS=1 python tests/benchmarks/startup.py door --n 5
    AWAC_TR_DATA=elsewhere python tests/benchmarks/startup.py door 'data.datasets=[mine]' --n 5

Datasets that are missing are made by the run that is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

AWAC_TR = (sys.executable, "-m", "awac_tr")
SHORT = ("threads=1", "compile=false", "offline.updates=1", "online.steps=0", "log.every=1")
PATIENCE = 1800.0

Seconds = dict[str, float]


def help_text() -> Seconds:
    """One ``awac-tr --help``."""
    begin = time.perf_counter()
    process = subprocess.Popen([*AWAC_TR, "--help"], stdout=subprocess.DEVNULL)
    processor = _processor_time(process)
    return {"wall": time.perf_counter() - begin, "processor": processor}


def first_update(recipe: str, overrides: list[str]) -> Seconds:
    """One ``awac-tr train`` until its first update is written down; the process is ended there."""
    folder = Path(tempfile.mkdtemp(prefix="awac-tr-startup-"))
    try:
        begin = time.perf_counter()
        command = [*AWAC_TR, "train", recipe, *SHORT, *overrides, "--quiet", "--run", str(folder / "run")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(folder / "stderr").open("wb"))
        rows = _until_an_update(process, folder)
        wall = time.perf_counter() - begin
        process.kill()
        processor = _processor_time(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    evaluations = max((row["wall"] for row in rows if row["event"] == "eval"), default=0.0)
    return {"wall": wall, "processor": processor, "evaluations": evaluations, "before": wall - evaluations}


def _until_an_update(process: subprocess.Popen[bytes], folder: Path) -> list[dict[str, Any]]:
    metrics, deadline = folder / "run" / "metrics.jsonl", time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        # seen, not waited for: waiting would lose the processor time
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True) if metrics.is_file() else []
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
        if any(row["event"] == "train" for row in rows):
            return rows
        if ended:
            raise SystemExit((folder / "stderr").read_text(encoding="utf-8"))
        time.sleep(0.01)
    process.kill()
    raise SystemExit(f"no update within {PATIENCE:g} s")


def _processor_time(process: subprocess.Popen[bytes]) -> float:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def medians(measure: Callable[[], Seconds], n: int) -> Seconds:
    """Of ``n`` measurements after one that is not counted."""
    measure()
    found = [measure() for _ in range(n)]
    return {name: round(statistics.median(one[name] for one in found), 3) for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="door")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--n", type=int, default=5)
    arguments = parser.parse_args()
    result = {
        "n": arguments.n,
        "help": medians(help_text, arguments.n),
        "first_update": medians(lambda: first_update(arguments.recipe, arguments.overrides), arguments.n),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
