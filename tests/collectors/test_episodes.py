from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from awac_tr.collectors.episodes import rollouts
from awac_tr.collectors.workers import WorkerDiedError
from awac_tr.envs.episode import Episode, episode_seeds
from awac_tr.errors import EnvError
from awac_tr.policies.noise import OUController, RandomController
from awac_tr.recipes.schema import EnvSection

ONES = np.ones(28, np.float32)
OU = partial(OUController, -ONES, ONES)
SEEDS = episode_seeds(0, 5)


def _arrays(episode: Episode) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(episode).items() if isinstance(value, np.ndarray)} | episode.infos


def test_the_number_of_workers_changes_nothing() -> None:
    env = EnvSection(id="door-binary-v0", horizon=60)
    alone = list(rollouts(env, OU, SEEDS, record_state=True))
    together = list(rollouts(env, OU, SEEDS, workers=2, record_state=True))
    assert [episode.seed for episode in together] == SEEDS == [episode.seed for episode in alone]
    for one, other in zip(alone, together, strict=True):
        mine, theirs = _arrays(one), _arrays(other)
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            assert array.dtype == theirs[name].dtype
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    assert (alone[0].actions != alone[1].actions).any()


def test_a_failing_workers_error_reaches_the_caller_and_no_process_stays() -> None:
    nan = partial(RandomController, ONES * np.nan, ONES)
    place = f"door-binary-v0, episode seed {SEEDS[0]}, step 0"
    with pytest.raises(EnvError, match=f"{place}: the controller gave") as caught:
        list(rollouts("door-binary-v0", nan, SEEDS, workers=2))
    assert caught.value.message.startswith(place)
    assert not multiprocessing.active_children()


def test_what_fails_while_a_worker_starts_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(rollouts("door-binary-v0", partial(int, "x"), SEEDS, workers=2))
    with pytest.raises(EnvError, match="cannot be made"):
        list(rollouts(EnvSection(id="door-binary-v0", kwargs={"hinges": 2}), OU, SEEDS, workers=2))


def test_a_worker_that_dies_is_an_error_with_advice() -> None:
    with pytest.raises(EnvError, match="died") as caught:
        list(rollouts("door-binary-v0", partial(os._exit, 3), SEEDS, workers=2))
    assert "fewer workers" in caught.value.hint


def test_closing_early_ends_the_workers() -> None:
    episodes = rollouts(EnvSection(id="door-binary-v0", horizon=20), OU, episode_seeds(0, 100), workers=2)
    assert next(episodes).seed == episode_seeds(0, 1)[0]
    assert multiprocessing.active_children()
    episodes.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_the_episodes_of_a_worker_that_is_killed_are_played_again(caplog: pytest.LogCaptureFixture) -> None:
    env = EnvSection(id="door-binary-v0", horizon=20)
    expected = [float(episode.rewards.sum()) for episode in rollouts(env, OU, episode_seeds(3, 12))]
    got: list[float] = []
    for episode in rollouts(env, OU, episode_seeds(3, 12), workers=2):
        got.append(float(episode.rewards.sum()))
        if len(got) in (2, 7):
            victim = multiprocessing.active_children()[0]
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
    assert got == expected
    assert "a worker process died" in caplog.text
    assert not multiprocessing.active_children()


def test_processes_that_die_again_and_again_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkerDiedError, match="died"):
        list(rollouts("door-binary-v0", Deadly, SEEDS, workers=2))


class Deadly:
    """Takes its process down with it."""

    def reset(self, seed: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def act(self, observation: np.ndarray) -> np.ndarray:
        raise AssertionError


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_at_all_is_refused(workers: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        rollouts("door-binary-v0", OU, SEEDS, workers=workers)


def test_no_seeds_give_no_episodes() -> None:
    assert list(rollouts("door-binary-v0", OU, [], workers=2)) == []


SCRIPT = """
import numpy as np
from functools import partial
from pathlib import Path
from awac_tr.collectors.episodes import rollouts
from awac_tr.policies.noise import OUController
from awac_tr.recipes.schema import EnvSection

if __name__ == "__main__":
    ones = np.ones(28)
    try:
        env = EnvSection(id="door-binary-v0", horizon=20)
        for _ in rollouts(env, partial(OUController, -ones, ones), range(1000), workers=2):
            print("episode", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.fixture
def running() -> subprocess.Popen[str]:
    Path("script.py").write_text(SCRIPT)
    command, both = [sys.executable, "script.py"], {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, **both, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "episode\n"
    return process


def test_ctrl_c_in_a_terminal_is_one_quiet_interrupt(running: subprocess.Popen[str]) -> None:
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    said, _ = running.communicate(timeout=30)
    assert said.replace("episode\n", "") == "interrupted\n"
    assert running.returncode == 0


def test_workers_do_not_outlive_a_caller_that_is_killed(running: subprocess.Popen[str]) -> None:
    workers = [int(pid) for pid in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()]
    assert len(workers) >= 2
    running.kill()
    running.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text() != ""
    except OSError:
        return False
