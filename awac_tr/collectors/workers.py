"""Processes beside this one: spawned, one thread each, deaf to the terminal's signals, gone when this one is gone.

Why not TorchRL's ``MultiSyncCollector`` and ``MultiAsyncCollector``, which the promises of ``docs/faults.md`` rule out
(torchrl 0.14.1): where one of their workers dies, or its environment raises, all others are ended and the error names
an exit code; nothing is replaced. The synchronous one hands out a rollout and waits for it in the same call, so no
round can be taken ahead; the asynchronous one goes on by itself, so that the clock decides which weights acted. Every
worker takes ``frames_per_batch / workers`` steps, rounded up, where a round may have any number. And Ctrl-C reaches
their workers. :class:`~awac_tr.collectors.collector.FastCollector` works inside them all the same.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Final, Protocol

from awac_tr.envs.gl import import_mujoco
from awac_tr.errors import EnvError

__all__ = ["Batch", "LocalWorker", "Worker", "WorkerDiedError", "Workers"]

_log = logging.getLogger(__name__)

_DEATHS: Final = 3
"""Deaths in a row after which it is no accident."""
_SIGNALS = {signal.SIGINT, signal.SIGTERM}

Task = tuple[Any, ...]


class WorkerDiedError(EnvError):
    """A process ended without an answer: killed, out of memory, or crashed in foreign code."""


class Worker(Protocol):
    """What :class:`LocalWorker` makes here and :class:`Workers` in each of their processes; its methods do the work."""

    def close(self) -> None:
        """Free what it holds."""


class _Deaf(SpawnProcess):
    """SIGTERM does not reach it, and a pool that has lost one process waits for ever for the others to follow."""

    def terminate(self) -> None:
        self.kill()


class _Spawning(SpawnContext):
    Process = _Deaf


class LocalWorker:
    """Does the work in this process, when its results are asked for; in all else as :class:`Workers`."""

    def __init__(self, make: Callable[..., Worker], *args: Any) -> None:
        self._make, self._args = make, args
        self._worker: Worker | None = None

    def start(self, method: str, tasks: Sequence[Task]) -> Iterator[Any]:
        """Tasks are done one by one as their results are taken."""
        for task in tasks:
            if self._worker is None:
                self._worker = self._make(*self._args)
            yield getattr(self._worker, method)(*task)

    def close(self) -> None:
        """Free what the worker holds; when there is work again, another is made."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


class Workers:
    """A pool of processes that are started when there is work, and stay until :meth:`close`.

    Ctrl-C and SIGTERM, which also reach a whole process group, are for the process that started them; it closes the
    pool. Where it is killed outright, they leave by themselves. Where one of them dies, new ones take their place and
    repeat what has no result yet.

    Args:
        count: processes at most.
        make: makes the worker of each process, importable there; a failure of it is raised by the work.
        args: of ``make``.
    """

    def __init__(self, count: int, make: Callable[..., Worker], *args: Any) -> None:
        import_mujoco()
        self._start: Any = (count, _Spawning(), _enter, (make, args))
        self._pool: ProcessPoolExecutor | None = None

    def start(self, method: str, tasks: Sequence[Task], *, ahead: int | None = None) -> Batch:
        """Hand out work: a call of ``method`` for each tuple of arguments, ``ahead`` (None: all) under way at a time.

        Raises:
            WorkerDiedError: a process has died.
        """
        return Batch(self, method, tasks, len(tasks) if ahead is None else ahead)

    def submit(self, method: str, task: Task) -> Future[Any]:
        """Hand out one call."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(*self._start)
        with _signals_held(), died_is_an_error():
            return self._pool.submit(_do, method, task)

    def close(self) -> None:
        """Drop the work that has not begun, wait for what has, end the processes; new work starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


class Batch:
    """Tasks under way in processes, so many ahead of the first result that is taken."""

    def __init__(self, workers: Workers, method: str, tasks: Sequence[Task], ahead: int) -> None:
        self._workers, self._method, self._tasks, self._ahead = workers, method, tasks, ahead
        self._results = self._deaths = 0
        self._begin()

    def done(self) -> bool:
        """Whether everything handed out so far has come back."""
        return all(future.done() for future in self._waiting)

    def __iter__(self) -> Generator[Any, None, None]:
        """Results in the order of the tasks, waiting where one is not there yet.

        Raises:
            WorkerDiedError: processes died again and again without a result in between.
        """
        try:
            while self._results < len(self._tasks):
                result = self._next()
                self._results, self._deaths = self._results + 1, 0
                yield result
        finally:
            for future in self._waiting:
                future.cancel()

    def _begin(self) -> None:
        left = self._tasks[self._results :]
        self._submissions = (self._workers.submit(self._method, task) for task in left)
        self._waiting = deque(islice(self._submissions, self._ahead))

    def _next(self) -> Any:
        while True:
            try:
                with died_is_an_error():
                    result = self._waiting[0].result()
                    self._waiting.popleft()
                    self._waiting.extend(islice(self._submissions, 1))
                    return result
            except WorkerDiedError:
                self._deaths += 1
                if self._deaths > _DEATHS:
                    raise
                _log.warning("a worker process died: a new one repeats what has no result yet, with the same seeds")
                self._workers.close()
                self._begin()


@contextmanager
def died_is_an_error() -> Iterator[None]:
    """Give a process's death, found where its work is handed out or its result taken, as :class:`WorkerDiedError`."""
    try:
        yield
    except BrokenProcessPool as error:
        hint = "It may have been out of memory; try fewer workers. With 1 worker the reason is shown."
        raise WorkerDiedError("a worker process died without saying why", hint) from error


@contextmanager
def _signals_held() -> Iterator[None]:
    """Processes started in here inherit the mask: the signals reach them never, and us right after."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


_worker: Worker | Exception | None = None


def _enter(make: Callable[..., Worker], args: Task) -> None:
    """Runs first in every process. A failure is kept for the first work: an initializer's own is lost by the pool."""
    global _worker
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    try:
        _worker = make(*args)
    except Exception as error:  # noqa: BLE001  (raised again by the first work)
        _worker = error


def _leave_with_parent() -> None:
    """A parent that is killed outright cannot tell its workers, and the pool's queues never close by themselves."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(method: str, task: Task) -> Any:
    if isinstance(_worker, Exception):
        raise _worker
    return getattr(_worker, method)(*task)
