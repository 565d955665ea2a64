"""Feed damaged files to every reader: ``nox -s fuzz -- --seconds 600``, or this file with the same arguments.

Every input follows from (seed, kind, number): ``--kind dataset --first 1234 --count 1 --seed 0`` repeats one, and
``--keep FOLDER`` writes it down. The exit code is 1 where anything but "read" or "refused" came out.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import os
import random
import re
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

from pit import CANARY, Outcome, attempt, judge
from readers import FOLDERS, READERS, SUFFIXES
from samples import Files, samples

GOOD = ("read", "refused")
RARE = {"run": 10}
"""Kinds that take long, a picture each: only every so many numbers."""


def damaged(kind: str, sound: list[Files], seed: int, number: int) -> Files:
    """The input of a number: a sound one, one of its files changed."""
    rng = random.Random(f"{seed} {kind} {number}")
    files = dict(rng.choice(sound))
    name = rng.choice([name for name in files if name != "summary.json"])
    others = [one[other] for one in sound for other in one if other.endswith(Path(name).suffix or other)]
    files[name] = SUFFIXES[Path(name).suffix](rng, files[name], others)
    if len(files) > 1 and rng.random() < 0.02:
        del files[rng.choice(list(files))]
    return files


def run_one(kind: str, files: Files, sandbox: Path, *, apart: bool = True) -> Outcome:
    """Read one input in a folder, and a process, of its own."""
    for name, data in files.items():
        path = sandbox / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for folder in ("in", "out"):
        (sandbox / folder).mkdir(exist_ok=True)
    path = sandbox / "in" if kind in FOLDERS else sandbox / "in" / next(iter(files))
    read = partial(READERS[kind], path, sandbox / "out")
    if not apart:
        found = attempt(read)
        return Outcome(found["kind"], found["text"])
    return judge(read, sandbox, sum(map(len, files.values())))


def signature(outcome: Outcome) -> str:
    """What tells one finding from another: the error and the last line of ours it came through."""
    ours = re.findall(r'File "[^"]*/(awac_tr/[^"]+)", line (\d+)', outcome.text)
    last = outcome.text.strip().splitlines()[-1:] or [""]
    return f"{outcome.kind} {last[0][:90]} at {':'.join(ours[-1]) if ours else '?'}"


class Campaign:
    """Counts, and findings by their signatures.

    Args:
        seed: of all inputs.
        keep: folder for inputs that came out badly, or None.
    """

    def __init__(self, seed: int, keep: Path | None) -> None:
        self.seed, self.keep = seed, keep
        self.sound = samples()
        self.counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.grown: collections.Counter[str] = collections.Counter()
        self.slowest: collections.Counter[str] = collections.Counter()
        self.findings: dict[str, list[str]] = {}

    def warm(self, kinds: list[str]) -> None:
        """Every reader with sound files, here and apart: they are read, and libraries are loaded for all inputs."""
        for kind, files in [(name, files) for name in kinds for files in self.sound[name]]:
            for apart in (False, True):
                with tempfile.TemporaryDirectory() as name:
                    outcome = run_one(kind, files, Path(name), apart=apart)
                if outcome.kind not in GOOD or (outcome.kind == "refused" and kind != "dataset"):
                    raise SystemExit(f"a sound {kind} was not read: {outcome}")

    def feed(self, kind: str, number: int) -> None:
        """One input."""
        files = damaged(kind, self.sound[kind], self.seed, number)
        sandbox = Path(tempfile.mkdtemp(prefix="awac-fuzz-"))
        try:
            outcome = run_one(kind, files, sandbox)
        finally:
            shutil.rmtree(sandbox, ignore_errors=True)
        self.counts[kind][outcome.kind] += 1
        self.grown[kind] = max(self.grown[kind], outcome.grown)
        self.slowest[kind] = max(self.slowest[kind], round(outcome.seconds, 2))  # type: ignore[assignment]
        if outcome.kind not in GOOD:
            self._note(kind, number, files, outcome)

    def _note(self, kind: str, number: int, files: Files, outcome: Outcome) -> None:
        name = f"{kind}: {signature(outcome)}"
        self.findings.setdefault(name, []).append(f"{self.seed}/{kind}/{number}")
        if self.keep is None or len(self.findings[name]) > 3:
            return
        for one, data in files.items():
            path = self.keep / f"{kind}-{self.seed}-{number}" / one
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (self.keep / f"{kind}-{self.seed}-{number}.txt").write_text(f"{name}\n\n{outcome.text}\n")

    def report(self) -> dict[str, Any]:
        """Everything as plain JSON."""
        table = {
            kind: {
                **dict(one),
                "tried": sum(one.values()),
                "most_memory": self.grown[kind],
                "slowest_cpu_s": self.slowest[kind],
            }
            for kind, one in self.counts.items()
        }
        return {
            "seed": self.seed,
            "kinds": table,
            "tried": sum(sum(one.values()) for one in self.counts.values()),
            "findings": self.findings,
        }


def plant_canary(folder: Path) -> None:
    """A module that a file may name and nobody may import."""
    (folder / f"{CANARY}.py").write_text("def run(*_):\n    open('ran', 'w').close()\n")
    sys.path.append(str(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=None, help="stop after so long")
    parser.add_argument("--count", type=int, default=None, help="inputs of each kind")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=sorted(READERS))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    logging.getLogger("awac_tr").setLevel(logging.CRITICAL)
    kinds = options.kind or list(READERS)
    with tempfile.TemporaryDirectory() as folder:
        plant_canary(Path(folder))
        campaign = Campaign(options.seed, options.keep)
        campaign.warm(kinds)
        ends, number = time.monotonic() + (options.seconds or float("inf")), options.first
        last = options.first + (options.count if options.count is not None else 10**9 if options.seconds else 100)
        while number < last and time.monotonic() < ends:
            for kind in kinds:
                if time.monotonic() < ends and number % RARE.get(kind, 1) == 0:
                    campaign.feed(kind, number)
            number += 1
    report = campaign.report()
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    sys.exit(1 if report["findings"] else 0)


if __name__ == "__main__":
    main()
