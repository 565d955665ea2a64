"""Processes beside this one: spawned, one thread each, deaf to the terminal's signals, gone when this one is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, ParamSpec, TypeVar

from awac_tr.envs.gl import import_mujoco
from awac_tr.errors import EnvError

__all__ = ["WorkerDiedError", "Workers", "died_is_an_error"]

P = ParamSpec("P")
T = TypeVar("T")

_SIGNALS = {signal.SIGINT, signal.SIGTERM}


class WorkerDiedError(EnvError):
    """A process ended without an answer: killed, out of memory, or crashed in foreign code."""


class _Deaf(SpawnProcess):
    """SIGTERM does not reach it, and a pool that has lost one process waits for ever for the others to follow."""

    def terminate(self) -> None:
        self.kill()


class _Spawning(SpawnContext):
    Process = _Deaf


class Workers:
    """A pool of processes that are started when there is work, and stay until :meth:`close`.

    Ctrl-C and SIGTERM, which also reach a whole process group, are for the process that started them; it closes the
    pool. Where it is killed outright, they leave by themselves.

    Args:
        count: processes at most.
        prepare: runs first in every process; a failure of it is raised by the work.
        args: of ``prepare``.
    """

    def __init__(self, count: int, prepare: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        import_mujoco()
        self._pool = ProcessPoolExecutor(count, _Spawning(), _enter, (prepare, args, kwargs))

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand out work; functions and arguments must be importable and picklable in a fresh process.

        Raises:
            WorkerDiedError: a process has died.
        """
        with _signals_held(), died_is_an_error():
            return self._pool.submit(_do, work, args, kwargs)

    def close(self) -> None:
        """Drop the work that has not begun, wait for what has, end the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)


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


_failure: Exception | None = None


def _enter(prepare: Callable[..., None], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Runs first in every process. A failure is kept for the first work: an initializer's own is lost by the pool."""
    global _failure
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    try:
        prepare(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  (raised again by the first work)
        _failure = error


def _leave_with_parent() -> None:
    """A parent that is killed outright cannot tell its workers, and the pool's queues never close by themselves."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(work: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    if _failure is not None:
        raise _failure
    return work(*args, **kwargs)
