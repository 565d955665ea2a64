"""Many episodes, in this process or in several, the same to the last bit either way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import gymnasium

from awac_tr.envs.episode import Controller, Episode, OnFrame, episode_seeds, rollout
from awac_tr.envs.make import make_env
from awac_tr.errors import EnvError

__all__ = ["Controller", "Episode", "OnFrame", "episode_seeds", "rollout", "rollouts"]

MakeController = Callable[[], Controller]


def rollouts(
    env_id: str,
    make_controller: MakeController,
    seeds: Sequence[int],
    *,
    kwargs: Mapping[str, Any] | None = None,
    horizon: int | None = None,
    workers: int = 1,
    record_state: bool = False,
) -> Generator[Episode, None, None]:
    """Run one episode per seed and yield them in the order of the seeds.

    An episode depends on its seed alone, so the number of workers changes nothing but the time. Workers are spawned
    processes with one intra-op thread each; closing the generator, an error or Ctrl-C ends them.

    Args:
        env_id: registered id.
        make_controller: makes the controller, once per process; picklable when ``workers > 1``.
        seeds: one per episode, see :func:`episode_seeds`.
        kwargs: keyword arguments of the environment.
        horizon: steps before an episode is cut; None: as registered.
        workers: number of processes; 1 runs here.
        record_state: keep the simulator's states, see :func:`rollout`.

    Raises:
        EnvError: as :func:`make_env` and :func:`rollout`, or a worker process died.
        ValueError: fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    job = (env_id, dict(kwargs or {}), horizon, make_controller, record_state)
    if workers == 1 or len(seeds) <= 1:
        return _here(job, seeds)
    return _in_processes(job, seeds, min(workers, len(seeds)))


_Job = tuple[str, "dict[str, Any]", "int | None", MakeController, bool]


class _Stage:
    """An environment and a controller, used for one episode after the other."""

    def __init__(self, job: _Job) -> None:
        env_id, kwargs, horizon, make_controller, self._record_state = job
        self.env: gymnasium.Env[Any, Any] = make_env(env_id, kwargs=kwargs, horizon=horizon)
        self._controller = make_controller()

    def play(self, seed: int) -> Episode:
        return rollout(self.env, self._controller, seed, record_state=self._record_state)


def _here(job: _Job, seeds: Sequence[int]) -> Generator[Episode, None, None]:
    stage = _Stage(job)
    try:
        for seed in seeds:
            yield stage.play(seed)
    finally:
        stage.env.close()


def _in_processes(job: _Job, seeds: Sequence[int], workers: int) -> Generator[Episode, None, None]:
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _open_stage, (job,))
    # Twice as many episodes under way as workers: nobody waits, and memory does not grow with the number of seeds.
    waiting, todo = deque[Future[Episode]](), iter(seeds)
    try:
        for seed in todo:
            with _interrupts_held():
                waiting.append(pool.submit(_play, seed))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        hint = "It may have been out of memory; try fewer workers. With 1 worker the reason is shown."
        raise EnvError("a rollout worker died without saying why", hint) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Workers start in here and inherit the mask: Ctrl-C reaches them never, and us right after."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


_stage: _Stage | None = None
_failure: Exception | None = None


def _open_stage(job: _Job) -> None:
    """Runs first in every worker. A failure is kept for the first episode: an initializer's own is lost by the pool."""
    global _stage, _failure
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        _stage = _Stage(job)
    except Exception as error:  # noqa: BLE001  (raised again by the first episode)
        _failure = error
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _leave_with_parent() -> None:
    """A parent that is killed outright cannot tell its workers, and the pool's queues never close by themselves."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _play(seed: int) -> Episode:
    if _stage is None:
        raise _failure or EnvError("a rollout worker was not set up")
    return _stage.play(seed)
