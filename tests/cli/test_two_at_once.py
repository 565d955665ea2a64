"""Two processes after the same file or folder: the second is told who the first is, or waits for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from awac_tr.cli.main import main
from awac_tr.collect import collect, ensure_datasets, plan
from awac_tr.data.storage.partial import summarize_partial
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.recipes.schema import EnvSection
from awac_tr.utils.locks import file_lock, folder_lock, holder_of

PENDULUM = EnvSection(id="Pendulum-v1", horizon=10)
RECIPE = """
name: tiny
env: {id: Pendulum-v1, horizon: 10}
data: {datasets: [play.hdf5]}
policy: {hidden_sizes: [8]}
qvalue: {hidden_sizes: [8]}
offline: {updates: 2, batch_size: 16}
online: {steps: 100000000, batch_size: 16, steps_per_round: 20, updates_per_step: 0.1}
eval: {every: 1000, episodes: 1}
checkpoint: {every: 5}
log: {every: 5, csv: false}
compile: false
"""


def refused(*arguments: str) -> str:
    """What a command says that ends with exit code 2."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 2, result.output
    return result.stderr


def wait_until(ready: Callable[[], Any], still: Callable[[], bool] = lambda: True) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert still()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def forked() -> Iterator[Callable[[Callable[[], Any]], int]]:
    """Starts copies of this process that do something; those still alive in the end are killed."""
    pids: list[int] = []

    def fork(work: Callable[[], Any]) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of newer Pythons: some library may have begun a thread
            pid = os.fork()
        if pid:
            pids.append(pid)
            return pid
        code = 1
        try:
            work()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            raise
        finally:
            os._exit(code)

    yield fork
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def test_a_file_that_a_collection_is_making_is_refused_to_all_others() -> None:
    for seed, name in enumerate(("one", "two")):
        collect(plan("random", env=PENDULUM, n=2, seed=seed, out=f"{name}.hdf5"))
    export = ["data", "export", "one.hdf5", "--format", "d4rl", "--out"]
    assert CliRunner().invoke(main, [*export, "other.hdf5"]).exit_code == 0
    command = [sys.executable, "-m", "awac_tr", "collect", "--source", "random", "--env", "Pendulum-v1"]
    same = ["--horizon", "10", "--out", "a.hdf5", "--quiet"]
    first = subprocess.Popen([*command, "--n", "1000000", *same], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _episodes(Path("a.hdf5.partial")) > 2, lambda: first.poll() is None)
        named = f"a.hdf5 is being written by another process (process {first.pid} on {socket.gethostname()}, since 20"
        for arguments in (
            ("collect", "--source", "random", "--env", "Pendulum-v1", "--n", "3", *same),
            ("collect", "--source", "random", "--env", "Pendulum-v1", "--n", "3", *same, "--resume"),
            ("collect", "--source", "random", "--env", "Pendulum-v1", "--n", "3", *same, "--force"),
            ("data", "merge", "one.hdf5", "two.hdf5", "--out", "a.hdf5"),
            ("data", "merge", "one.hdf5", "two.hdf5", "--out", "a.hdf5", "--force"),
            ("data", "filter", "one.hdf5", "--where", "length > 0", "--out", "a.hdf5"),
            ("data", "import", "other.hdf5", "--out", "a.hdf5"),
            (*export, "a.hdf5"),
        ):
            said = refused(*arguments)
            assert named in said, (arguments, said)
            assert "awac-tr collect --source random --env Pendulum-v1 --n 1000000" in said
            assert "Wait for it, or choose another name." in said
    finally:
        first.kill()
        first.wait()
    assert Path("a.hdf5.lock").exists()
    go_on = ["collect", "--source", "random", "--env", "Pendulum-v1", "--n", "3", *same, "--resume"]
    assert CliRunner().invoke(main, go_on).exit_code == 0
    assert sorted(path.name for path in Path().glob("a.*")) == ["a.hdf5"]


def _episodes(path: Path) -> int:
    found = summarize_partial(path) if path.exists() else None
    return found.episodes if found else 0


def card(**keys: Any) -> None:
    folder = Path(os.environ["AWAC_TR_DATA"])
    folder.mkdir(exist_ok=True)
    content = {"name": "play", "env": "Pendulum-v1", "licence": "CC0-1.0", "source": "random", "seed": 2, **keys}
    (folder / "play.yaml").write_text("\n".join(f"{key}: {value}" for key, value in content.items()))


@pytest.mark.parametrize("killed", [False, True], ids=["the first finishes", "the first is killed"])
def test_a_missing_dataset_that_another_process_is_making_is_waited_for(
    forked: Any, caplog: pytest.LogCaptureFixture, *, killed: bool
) -> None:
    card(n=40)
    path = Path(os.environ["AWAC_TR_DATA"]) / "play.hdf5"
    pid = forked(lambda: ensure_datasets(["play"], on_episode=lambda _: time.sleep(0.03)))
    wait_until(lambda: _episodes(path.with_name("play.hdf5.partial")) > 2)
    helper = forked(lambda: (time.sleep(0.8), os.kill(pid, signal.SIGKILL))) if killed else None
    with caplog.at_level("INFO"):
        assert ensure_datasets(["play"]) == [path]
    assert f"play.hdf5 is being written by another process (process {pid} on" in caplog.text
    assert ("going on with it as its card says" in caplog.text) == killed
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (-signal.SIGKILL if killed else 0)
    assert helper is None or os.waitpid(helper, 0)[1] == 0
    with open_dataset(path) as dataset:
        assert (dataset.n_episodes, dataset.compute_hash()) == (40, dataset.content_hash)
    assert [finding for finding in validate(path) if finding.severity == "error"] == []
    assert sorted(one.name for one in path.parent.iterdir()) == ["play.hdf5", "play.yaml"]


def test_a_partial_file_of_another_plan_is_no_beginning_of_a_card() -> None:
    card(n=4, seed=7)
    path = Path(os.environ["AWAC_TR_DATA"]) / "play.hdf5"
    with pytest.raises(KeyboardInterrupt):
        collect(plan("random", env="Pendulum-v1", n=4, seed=2, out=path), on_episode=_interrupt)
    Path("tiny.yaml").write_text(RECIPE.replace("play.hdf5", "play"), encoding="utf-8")
    said = refused("train", "tiny.yaml")
    assert "play.hdf5.partial is of another collection" in said
    assert "seed: 2, now 7" in said
    assert "start anew with --force (or remove it)" in said


def _interrupt(_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_training_that_is_stopped_while_it_makes_its_data_goes_on_there(forked: Any, signum: signal.Signals) -> None:
    card(n=100_000)
    path = Path(os.environ["AWAC_TR_DATA"]) / "play.hdf5.partial"
    Path("tiny.yaml").write_text(RECIPE.replace("play.hdf5", "play"), encoding="utf-8")
    log = Path("log")

    def first() -> None:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
        main(["train", "tiny.yaml", "--quiet"], standalone_mode=False)

    pid = forked(first)
    wait_until(lambda: _episodes(path) > 3)
    os.kill(pid, signum)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signum
    kept = _episodes(path)
    card(n=kept + 2)  # fewer will do here
    ensure_datasets(["play"])
    with open_dataset(path.with_suffix("")) as dataset:
        assert dataset.n_episodes == kept + 2
        whole = collect(plan("random", env="Pendulum-v1", n=kept + 2, seed=2, out="b.hdf5"))
        assert dataset.content_hash == whole.content_hash


def test_a_run_that_another_process_is_at_is_refused(forked: Any) -> None:
    collect(plan("random", env=PENDULUM, n=5, out="play.hdf5"))
    Path("tiny.yaml").write_text(RECIPE, encoding="utf-8")
    pid = forked(lambda: main(["train", "tiny.yaml", "--run", "run", "--quiet"], standalone_mode=False))
    wait_until(lambda: Path("run/checkpoints/last.pt").exists())
    named = f"run is being written by another process (process {pid} on {socket.gethostname()}, since 20"
    assert named in refused("train", "tiny.yaml", "--run", "run")
    before = Path("run/record.json").read_bytes()
    assert named in refused("train", "--resume", "run")
    assert Path("run/record.json").read_bytes() == before
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert "the run folder run exists" in refused("train", "tiny.yaml", "--run", "run")
    again = forked(lambda: main(["train", "--resume", "run", "--quiet"], standalone_mode=False))
    wait_until(lambda: (holder := holder_of(folder_lock(Path("run")))) is not None and holder.pid == again)
    rows = Path("run/metrics.jsonl").stat().st_size
    wait_until(lambda: Path("run/metrics.jsonl").stat().st_size > rows + 500)
    os.kill(again, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(again, 0)[1]) == 143
    assert not Path("run/lock").exists()
    assert holder_of(file_lock(Path("play.hdf5"))) is None
