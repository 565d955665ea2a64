"""What lerobot-doctor and robot-data-audit say of the LeRobot datasets of the blind test.

They are judged as the validator is: caught is what they warn of in the spoiled data and not, or not so often, in the
clean. In an environment of its own (``pip install lerobot-doctor==0.2.0 'robot-data-audit[parquet]==0.11.0'``)::

    python tests/benchmarks/validation_recall.py --seed 1 --keep /tmp/kept --out recall.json
    python tests/benchmarks/validation_others.py /tmp/kept recall.json
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path


def plain(text: str) -> str:
    """A message without its numbers."""
    return re.sub(r"-?\d[\d.,e+-]*", "#", text)


@cache
def doctor(folder: Path) -> Counter[str]:
    """Warnings and failures of lerobot-doctor."""
    from lerobot_doctor.dataset_loader import load_dataset
    from lerobot_doctor.runner import run_checks

    report = run_checks(load_dataset(str(folder)))
    return Counter(
        plain(message.message)
        for result in report.results
        for message in result.messages
        if message.severity.value != "PASS"
    )


@cache
def audit(folder: Path) -> Counter[str]:
    """Findings of robot-data-audit, by metric and episode, and the verdicts that are no pass."""
    from rda.audit.dataset_audit import DatasetAuditor
    from rda.io.lerobot_loader import iter_episodes, load_lerobot_dataset

    result = DatasetAuditor().audit_dataset(load_lerobot_dataset(str(folder)), iter_episodes(str(folder)))
    episodes = result.episodes.values()
    if not any(one.num_frames for one in episodes):
        return Counter(["nothing audited"])
    found = Counter(one.name for episode in episodes for one in episode.metrics.values() if one.has_finding)
    verdicts = Counter(episode.verdict.name for episode in episodes)
    return found + Counter({name: count for name, count in verdicts.items() if name != "PASS"})


def said_of(tool: Callable[[Path], Counter[str]], folder: Path) -> Counter[str]:
    """What a tool says; where it fails, that."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return tool(folder)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (it refuses the data)
            return Counter([f"failed: {type(error).__name__}"])


def main() -> None:
    kept, result = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    trials = [one for one in result["trials"] if "kept" in one and not one["undetectable"]]
    tools = {"lerobot-doctor": doctor, "robot-data-audit": audit}
    print("| code | injections | awac-tr | " + " | ".join(tools) + " |\n|---|---|---|---|---|")  # noqa: T201
    for code in dict.fromkeys(one["code"] for one in trials):
        mine = [one for one in trials if one["code"] == code]
        shares = [sum(one["outcome"] not in ("missed", "crashed") for one in mine)]
        for tool in tools.values():
            said = [(said_of(tool, kept / one["kept"]), said_of(tool, kept / one["clean"])) for one in mine]
            shares.append(sum(bool(spoiled - clean) for spoiled, clean in said))
        cells = [f"{share / len(mine):.2f}" for share in shares]
        print(f"| {code} | {len(mine)} | " + " | ".join(cells) + " |", flush=True)  # noqa: T201
    clean = sorted(kept.glob("clean-*"))
    for name, tool in tools.items():
        count = sum(sum(said_of(tool, folder).values()) for folder in clean)
        print(f"\n{name}: {count} warnings on {len(clean)} clean datasets")  # noqa: T201


if __name__ == "__main__":
    main()
