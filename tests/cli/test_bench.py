"""``awac-tr bench``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from click.testing import CliRunner, Result
from tensordict import TensorDict

from awac_tr.cli.main import main

TINY = ["policy.hidden_sizes=[16]", "qvalue.hidden_sizes=[16]", "offline.batch_size=32"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments])


def test_quick_json() -> None:
    result = run("recipes/quickstart.yaml", *TINY, "--quick", "--updates", "1", "--steps", "8", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["format"] == "awac-tr-bench"
    assert {len(variant["updates_per_s"]["samples"]) for variant in found["updates"]} == {5}
    assert not any(variant["compile"] for variant in found["updates"])
    assert found["task"]["policy_hidden_sizes"] == [16]
    assert "updates ..." in result.stderr


def test_tables() -> None:
    result = run("quickstart", *TINY, "--quick", "--updates", "1", "--steps", "8", "--blocks", "6")
    assert result.exit_code == 0, result.output
    assert "medians of 6 blocks" in result.stdout
    assert "What to choose" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-recipe"], "no recipe 'no-such-recipe'"),
        (["quickstart", "algorithm.lambda=1"], "algorithm.lambda"),
        (["quickstart", "env.id=dor-binary-v0"], "door-binary-v0"),
        (["quickstart", "--blocks", "0"], "0 is not in the range"),
        (["quickstart", "--against", "corl"], "'corl' is not 'd3rlpy'"),
        (["quickstart", "device=tpu"], "got 'tpu'"),
    ],
)
def test_mistakes(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_peer_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = run("quickstart", "--against", "d3rlpy")
    assert result.exit_code == 2
    assert result.stderr.strip().splitlines()[-2:] == [
        "Error: d3rlpy is not installed here",
        "nox -s bench makes an environment with it and runs this there (its requirements contradict ours).",
    ]


def test_an_interrupt_that_tensordict_answers_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        with TensorDict({"weight": torch.zeros(1)}).to_module(torch.nn.Linear(1, 1, bias=False)):
            raise KeyboardInterrupt

    monkeypatch.setattr("awac_tr.bench.bench", interrupted)
    result = run("quickstart")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_ctrl_c_ends_it_cleanly() -> None:
    command = [
        sys.executable,
        "-m",
        "awac_tr",
        "bench",
        "quickstart",
        *TINY,
        "--quick",
        "--updates",
        "50",
        "--blocks",
        "9999",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("updates"):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=30)
    assert (process.returncode, out, rest) == (130, "", "interrupted\n")
