"""The files and commands of docs/any-environment.md, run as they stand but for their length."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import gymnasium
import pytest
from click.testing import CliRunner

from awac_tr.cli.main import main
from awac_tr.data.storage.reader import open_dataset

FILE = re.compile(r"^`([\w.]+)`:\n\n```(?:python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^awac-tr (.*)$", re.MULTILINE)

TINY = "offline.updates=3 online.steps=8 online.steps_per_round=4 eval.episodes=1 policy.hidden_sizes=[8]"
TINY += " qvalue.hidden_sizes=[8] offline.batch_size=8 online.batch_size=8 env.horizon=6 compile=false"


@pytest.fixture
def page(repository: Path) -> str:
    """The page; its files lie in the working folder."""
    text = (repository / "docs" / "any-environment.md").read_text(encoding="utf-8")
    for name, body in FILE.findall(text):
        Path(name).write_text(body, encoding="utf-8")
    return text


def command(page: str, beginning: str) -> list[str]:
    return next(shlex.split(line) for line in COMMAND.findall(page) if line.startswith(beginning))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_page_has_its_files(page: str) -> None:
    assert {name for name, _ in FILE.findall(page)} == {"my_hammer.py", "hammer.yaml", "my_env.py"}
    assert len(Path("my_hammer.py").read_text().splitlines()) <= 10


def test_the_hammer(page: str) -> None:
    collect = command(page, "collect --source ou --env hammer.yaml")
    collect[collect.index("--n") + 1] = "2"
    run(*collect, "--env-set", "horizon=6")
    with open_dataset("datasets/adroithandhammer-ou.hdf5") as made:
        assert made.meta.env.options == {"reward": "my_hammer:sparse", "reward_range": [-1.0, 0.0]}
        assert set(made.arrays(["rewards"])["rewards"].tolist()) == {-1.0}
    assert "my_hammer:sparse" in run(*command(page, "data info"))
    folder = run(*command(page, "train hammer.yaml"), *TINY.split(), "--quiet").strip()
    checkpoint = f"{folder}/checkpoints/last.pt"
    assert "-6.0" in run(*command(page, "eval")[:1], checkpoint, "--trust", "--episodes", "2")
    assert "-6.0" in run("eval", checkpoint, "--env", "hammer.yaml", "--env-set", "horizon=6", "--episodes", "2")


def test_an_environment_of_ones_own(page: str) -> None:
    sys.modules.pop("my_env", None)  # a module of this name, imported by an earlier test, would register nothing now
    try:
        run(*command(page, "collect --source random --env my_env:Reach-v0"))
        with open_dataset("datasets/reach-random.hdf5") as made:
            assert made.meta.env.id == "my_env:Reach-v0"
            first = made.arrays(["observations", "actions"])
        assert (first["observations"][0, 2:] == 0).all()  # position, then velocity
        assert 0.9 < abs(first["actions"]).max() <= 1
        assert "sound" in run("data", "validate", "reach-random", "--trust")
        assert "to the last bit" in run("data", "replay", "reach-random", "--trust")
    finally:
        gymnasium.registry.pop("Reach-v0", None)
