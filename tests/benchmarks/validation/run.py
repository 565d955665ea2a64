"""The table: recall of each code in each format, and alarms on clean data."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.data.validation.codes import KINDS
from validation import inject_ends, inject_files, inject_values
from validation.clean import PLAYS, SMALL, Clean, Data
from validation.formats import FORMATS
from validation.inject import DEFECTS, Defect
from validation.judge import OUTCOMES, Told, outcome, tell

__all__ = ["inject_ends", "inject_files", "inject_values", "measure", "table"]

ADROIT = "door-binary-v0"
TRIES = 60
Say = Callable[[str], None]


class Bench:
    """Clean datasets, what is said of each in each format, and what is said of spoiled ones.

    Args:
        seed: of everything.
        count: clean datasets; hand_dapg, which knows the door only, has as many of its own.
        small: few plays, for a test.
        keep: folder in which the LeRobot datasets stay, for other tools.
    """

    def __init__(self, seed: int, count: int, *, small: bool = False, keep: Path | None = None) -> None:
        self._keep, self._kept = keep, 0
        self.rng = np.random.default_rng(seed)
        clean = Clean(self.rng, SMALL if small else PLAYS)
        self._any = [clean.draw() for _ in range(count)]
        self._doors = [clean.draw(ADROIT) for _ in range(count)]
        self._told: dict[tuple[str, int], Told] = {}

    def clean(self, name: str) -> list[Data]:
        """The clean datasets of a format."""
        return self._doors if name == "hand_dapg" else self._any

    def told(self, name: str, number: int) -> Told:
        """What is said of a clean dataset in a format."""
        key = (name, number)
        if key not in self._told:
            self._told[key] = tell(self.clean(name)[number], name, self._place(name, f"clean-{number}"))
        return self._told[key]

    def _place(self, name: str, folder: str) -> Path | None:
        return self._keep / folder if self._keep is not None and name == "lerobot" else None

    def alarms(self, name: str) -> dict[str, Any]:
        """Of all clean datasets of a format: episodes, warnings and errors, notes apart, by code."""
        found: dict[str, Counter[str]] = {"alarms": Counter(), "notes": Counter()}
        for number in range(len(self.clean(name))):
            told = self.told(name, number)
            for code, severity, _, _ in told.findings:
                found["notes" if severity == "note" else "alarms"][code] += 1
            if told.refused or told.crashed:
                found["alarms"][f"refused: {told.refused or told.crashed}"] += 1
        episodes = sum(len(data.starts) for data in self.clean(name))
        return {
            "episodes": episodes,
            "datasets": len(self.clean(name)),
            **{key: dict(one) for key, one in found.items()},
        }

    def spoil(self, defects: list[Defect], name: str) -> tuple[int, Data, Defect] | None:
        """A random one of some defects in random data: the number of the clean data, spoiled data, the defect."""
        for _ in range(TRIES):
            one = defects[self.rng.integers(len(defects))]
            fitting = [
                number
                for number, data in enumerate(self.clean(name))
                if (not one.envs or data.env_id in one.envs) and (not one.named or data.named or name == "hand_dapg")
            ]
            if not fitting:
                continue
            number = int(self.rng.choice(fitting))
            data = self.clean(name)[number].copy()
            if one.inject(data, self.rng):
                return number, data, one
        return None

    def trial(self, defects: list[Defect], name: str) -> dict[str, Any] | None:
        """What comes of one injection."""
        drawn = self.spoil(defects, name)
        if drawn is None:
            return None
        number, data, one = drawn
        self._kept += 1
        place = self._place(name, f"trial-{self._kept}")
        told, clean = tell(data, name, place), self.told(name, number)
        return {
            "code": one.code,
            "defect": one.inject.__name__,
            "format": name,
            "env": data.env_id,
            "outcome": outcome(told, clean, one.code),
            "undetectable": name in data.undetectable,
            "found": sorted({found[0] for found in told.findings - clean.findings}),
            "told": told.crashed or told.refused,
            **({"kept": place.name, "clean": f"clean-{number}"} if place is not None else {}),
        }


def measure(
    seed: int, n: int, count: int, *, small: bool = False, keep: Path | None = None, say: Say = print
) -> dict[str, Any]:
    """Everything that the table shows.

    Args:
        seed: of plays, places and sizes.
        n: injections a code at least, shared out over the formats that can carry it.
        count: clean datasets a format.
        small: few plays.
        keep: folder in which the LeRobot datasets stay.
        say: is told how far it is.
    """
    began = time.perf_counter()
    bench = Bench(seed, count, small=small, keep=keep)
    say(f"plays: {time.perf_counter() - began:.0f} s")
    alarms = {name: bench.alarms(name) for name in FORMATS}
    say(f"clean data: {time.perf_counter() - began:.0f} s")
    codes: dict[str, list[Defect]] = defaultdict(list)
    for one in DEFECTS:
        codes[one.code].append(one)
    trials = []
    for code, defects in codes.items():
        carrying = {name: [one for one in defects if name in one.formats] for name in FORMATS}
        carrying = {name: them for name, them in carrying.items() if them}
        each, first = -(-n // len(carrying)), len(trials)
        # Its own stream: what is drawn for a code does not hang on the codes before it.
        bench.rng = np.random.default_rng([seed, *code.encode()])
        for name, them in carrying.items():
            trials += [trial for _ in range(each) if (trial := bench.trial(them, name)) is not None]
        say(f"{code}: {recall(trials[first:])} after {time.perf_counter() - began:.0f} s")
    seconds = round(time.perf_counter() - began)
    return {"seed": seed, "n": n, "seconds": seconds, "clean": alarms, "trials": trials}


def recall(trials: list[dict[str, Any]]) -> str:
    """Caught of those that can be; empty where there are none."""
    seen = [one for one in trials if not one["undetectable"]]
    caught = sum(one["outcome"] not in ("missed", "crashed") for one in seen)
    return f"{caught / len(seen):.2f}" if seen else "-"


def table(result: dict[str, Any]) -> str:
    """Both tables as Markdown."""
    columns = ("injections", "undetectable", *OUTCOMES[:5], "recall", *FORMATS)
    lines = ["| code | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for code in dict.fromkeys(one["code"] for one in result["trials"]):
        mine = [one for one in result["trials"] if one["code"] == code]
        seen = [one for one in mine if not one["undetectable"]]
        counts = Counter(one["outcome"] for one in seen)
        counts["missed"] += counts["crashed"]
        cells = [len(mine), len(mine) - len(seen), *(counts[name] for name in OUTCOMES[:5]), recall(mine)]
        cells += [recall([one for one in mine if one["format"] == name]) for name in FORMATS]
        name = f"`{code}`" if code in KINDS else f"{code} (no code)"
        lines.append(f"| {name} | " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", "| clean | datasets | episodes | alarms | per 1,000 episodes | notes |", "|---|---|---|---|---|---|"]
    for name, clean in result["clean"].items():
        alarms = sum(clean["alarms"].values())
        which = ", ".join(f"{code} {count}" for code, count in sorted(clean["alarms"].items()))
        rate = f"{1000 * alarms / max(1, clean['episodes']):.1f}"
        notes = ", ".join(f"{code} {count}" for code, count in sorted(clean["notes"].items()))
        lines.append(f"| {name} | {clean['datasets']} | {clean['episodes']} | {alarms} {which} | {rate} | {notes} |")
    return "\n".join(lines)


def save(result: dict[str, Any], path: str) -> None:
    """All trials, one a line."""
    trials = ",\n".join(json.dumps(one) for one in result["trials"])
    rest = json.dumps({key: value for key, value in result.items() if key != "trials"})
    Path(path).write_text(f'{rest[:-1]}, "trials": [\n{trials}\n]}}\n', encoding="utf-8")
