"""A collection that is killed, at whatever moment and however often, ends in the file of one that was not."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from killing import KILLS, forked, kill_at, killed_after, outcome

from awac_tr.collect import Plan, collect, plan
from awac_tr.data.storage.partial import read_episodes, summarize_partial
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.envs.env_info import env_info
from awac_tr.envs.episode import episode_seeds
from awac_tr.models.build import build_policy
from awac_tr.policies.checkpoint import policy_entry, save_checkpoint
from awac_tr.recipes.schema import EnvSection, PolicySection

_log = logging.getLogger(__name__)

SOURCES = ("random", "ou", "policy", "bc", "demos")
CLONE = {"policy": {"hidden_sizes": [8]}, "max_updates": 60, "bc": {"check_every": 10, "patience": 9}}


def plan_of(source: Any) -> Plan:
    """A fraction of a second's work."""
    env = EnvSection(id="door-binary-v0" if source == "demos" else "Pendulum-v1", horizon=15)
    more: dict[str, Any] = {"options": {"action_noise": 0.1, "label": "clean"}} if source == "demos" else {}
    if source == "policy":
        more = {"policy": _policy(Path("p.pt")), "mode": "sample"}
    if source == "bc":
        more = {"dataset": collect(plan("random", env=env, n=4, seed=1, out="play.hdf5")).path, "options": CLONE}
    return plan(source, env=env, n=6 if source == "demos" else 25, seed=5, out="a.hdf5", **more)


def _policy(path: Path) -> Path:
    facts, spec = env_info("Pendulum-v1"), PolicySection(hidden_sizes=(8,))
    sizes = {"observation_size": facts.observation_size, "action_size": facts.action_size}
    bounds: dict[str, Any] = {"action_low": [-2.0], "action_high": [2.0]}
    entry = policy_entry(build_policy(spec, *sizes.values(), **bounds), spec, **sizes, **bounds)
    return save_checkpoint(
        path, {"kind": "policy", "policy": entry, "env": {"id": "Pendulum-v1", "kwargs": {}, "horizon": 15}}
    )


def contents(path: Path) -> dict[str, Any]:
    """All of a dataset but the moment it was made."""
    with open_dataset(path) as dataset:
        assert dataset.compute_hash() == dataset.content_hash
        said = {name: value for name, value in dataset.attributes.items() if name != "created"}
        return {name: getattr(value, "tolist", lambda value=value: value)() for name, value in said.items()}


def check_partial(wanted: Plan) -> int:
    """What a killed process left: either nothing to go on with, or whole episodes of the right seeds; how many."""
    path = Path("a.hdf5.partial")
    found = summarize_partial(path, check=True) if path.exists() else None
    if found is None:
        return 0
    assert found.seeds == episode_seeds(wanted.seed, found.episodes)
    assert sum(1 for _ in read_episodes(path, wanted.n)) == found.episodes
    return found.episodes


def start_over() -> None:
    for path in Path().glob("a.*"):
        path.unlink()


@pytest.mark.parametrize("source", SOURCES)
def test_killed_at_random_moments_and_resumed_it_is_the_same_file(source: str) -> None:
    wanted, chance = plan_of(source), random.Random(source)
    started = time.perf_counter()
    assert outcome(forked(lambda: collect(wanted))) == 0
    seconds, whole = time.perf_counter() - started, contents(wanted.out)
    start_over()
    kills = finished = attempts = 0
    struck: Counter[str] = Counter()
    while kills < KILLS or not finished:
        attempts += 1
        assert attempts < 20 * KILLS + 20, "the kills come too late"
        pid = forked(lambda: collect(wanted, resume=True))
        code = killed_after(pid, chance.uniform(0, seconds if kills < KILLS else 60 * seconds))
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
        check_partial(wanted)
        struck[_moment()] += code != 0
        if code == 0:
            assert contents(wanted.out) == whole
            assert not list(Path().glob("a.hdf5.*"))
            finished += 1
            start_over()
        elif wanted.out.exists():  # killed after it had its name, perhaps after all its work: resuming says so
            assert contents(wanted.out) == whole
    _log.info("%s: %d kills (%s), %d finished files the same", source, kills, dict(struck), finished)


def _moment() -> str:
    """What a killed process was at, by what it left."""
    if Path("a.hdf5").exists():
        return "after the end"
    if Path("a.hdf5.part").exists():
        return "making the dataset"
    path = Path("a.hdf5.partial")
    found = summarize_partial(path) if path.exists() else None
    if found is None or found.actor is None:
        return "beginning or cloning"
    return "episodes"


def _collect_killed_at(step: int, wanted: Plan) -> None:
    kill_at(step)
    collect(wanted)


def test_killed_at_every_change_of_a_file_and_resumed_it_is_the_same_file() -> None:
    """Not at moments, but at each of the calls that change files, of which a sample unless more are asked for."""
    wanted = replace(plan_of("bc"), n=3)
    whole = contents(collect(wanted).path)
    step, kills, stride = 1, 0, max(1, 60 // KILLS)
    while True:
        start_over()
        code = outcome(forked(partial(_collect_killed_at, step, wanted)))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        check_partial(wanted)
        assert outcome(forked(lambda: collect(wanted, resume=True))) == 0
        assert contents(wanted.out) == whole
        assert sorted(path.name for path in Path().glob("a.*")) == ["a.clone.pt", "a.hdf5"]
        step, kills = step + stride, kills + 1
    assert kills >= 80 // stride
    _log.info("%d kills at calls that change files", kills)


COMMAND = "collect --source ou --env door-binary-v0 --horizon 40 --n 60 --seed 3 --workers 2 --out a.hdf5 --resume"


@pytest.mark.slow
def test_two_workers_signals_and_no_orphans(tmp_path: Path) -> None:
    """One collection of two workers, stopped by Ctrl-C, by SIGKILL and by SIGTERM, each time after some episodes."""
    before = 0
    for signum, whole_group, code in (
        (signal.SIGINT, True, 130),
        (signal.SIGKILL, False, -9),
        (signal.SIGTERM, False, 143),
    ):
        said, kept = _stopped(COMMAND.split(), before + 2, signum, code, whole_group=whole_group)
        assert kept >= before + 2
        assert ("Go on with:\n  awac-tr collect --source ou" in said) == (signum != signal.SIGKILL)
        before = kept
    wanted = plan("ou", env=EnvSection(id="door-binary-v0", horizon=40), n=60, seed=3, out="a.hdf5")
    resumed = collect(wanted, resume=True)
    assert resumed.content_hash == collect(replace(wanted, out=Path("b.hdf5"))).content_hash
    assert [finding for finding in validate(resumed.path) if finding.severity == "error"] == []


def _stopped(command: list[str], episodes: int, signum: int, code: int, *, whole_group: bool) -> tuple[str, int]:
    """Run a command, stop it once it has so many episodes; what it said, and how many episodes it kept."""
    import subprocess

    kept, log = Path("a.hdf5.partial"), Path("log")
    with log.open("w") as stream:
        arguments = [sys.executable, "-m", "awac_tr", *command]
        process = subprocess.Popen(arguments, stdout=stream, stderr=stream, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while not (kept.exists() and _episodes(kept) >= episodes):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        started = _descendants(process.pid)
        assert len(started) >= 2
        (os.killpg if whole_group else os.kill)(process.pid, signum)
        assert process.wait(timeout=60) == code, log.read_text()
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 20
    while any(map(_runs, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in started if _runs(pid)] == []
    return log.read_text(), _episodes(kept)


def _episodes(path: Path) -> int:
    found = summarize_partial(path)
    return found.episodes if found else 0


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found |= {int(child) for child in (task / "children").read_text().split()}
    return found.union(*(_descendants(child) for child in found))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text() != ""
    except OSError:
        return False
