"""Processes that are killed, for tests of what they leave behind.

They are forked from the test's own, which has imported everything, so that a kill costs a fraction of a second.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, Final

__all__ = ["KILLS", "forked", "kill_at", "killed_after", "outcome"]

KILLS: Final = int(os.environ.get("AWAC_TR_KILLS", "3"))
"""How often each thing is killed; ``nox -s faults`` asks for more."""


def forked(work: Callable[[], Any]) -> int:
    """Begin work in a process of its own; its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons: some library may have begun a thread
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        raise
    finally:
        os._exit(code)


def outcome(pid: int) -> int:
    """Exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_after(pid: int, seconds: float) -> int:
    """Kill a process unless it ends before; its outcome."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(min(0.005, max(0.0, deadline - time.monotonic())))
    os.kill(pid, signal.SIGKILL)
    return outcome(pid)


def kill_at(step: int) -> None:
    """In this process, be killed at the given call that changes files, in the middle of it where it writes."""
    calls = 0

    def counted(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                if name == "write":
                    act(arguments[0], memoryview(arguments[1]).cast("B")[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*arguments, **options)

        return call

    for name in ("write", "fsync", "fdatasync", "ftruncate", "replace", "unlink", "open", "mkdir", "rename"):
        setattr(os, name, counted(name, getattr(os, name)))
