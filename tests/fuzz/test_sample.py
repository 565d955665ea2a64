"""A small part of the campaign, always the same: ``nox -s fuzz -- --seconds 600`` runs as much as there is time for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).with_name("campaign.py")
pytest.importorskip("pyarrow", reason="pyarrow (awac-tr[lerobot]) is absent")


def test_damaged_files_are_read_or_refused() -> None:
    command = [sys.executable, str(CAMPAIGN), "--count", "5", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["findings"] == {}
    assert report["tried"] == 5 * (len(report["kinds"]) - 1) + 1
    outcomes = {outcome for counts in report["kinds"].values() for outcome in counts}
    assert {"read", "refused"} <= outcomes
