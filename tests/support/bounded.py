"""Commands run in a child process that may take so much processor time and memory and no more."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a command ended: its exit code (negative: the signal that killed it), and what it said on stderr."""

    code: int
    said: str


def bounded(*arguments: object, seconds: int = 20, megabytes: int = 1024) -> Ended:
    """Run ``awac-tr ARGUMENTS`` in a fork of this process.

    Args:
        arguments: of the command.
        seconds: of processor time.
        megabytes: of address space beyond what this process has.
    """
    from awac_tr.cli.main import main

    said = Path("bounded-stderr.txt").absolute()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _limit(seconds, megabytes)
            for number, name in ((1, os.devnull), (2, said)):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            with os.fdopen(2, "w", closefd=False) as stderr:
                code = _exit_code(main, [str(one) for one in arguments], stderr)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    words = " ".join(said.read_text(errors="replace").split())
    said.unlink()
    return Ended(os.waitstatus_to_exitcode(status), words)


def _limit(seconds: int, megabytes: int) -> None:
    used = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds))
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    room = pages * os.sysconf("SC_PAGE_SIZE") + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _exit_code(main: object, arguments: list[str], stderr: object) -> int:
    import sys

    sys.stdout, sys.stderr = open(os.devnull, "w"), stderr  # type: ignore[assignment]  # noqa: PTH123, SIM115
    try:
        main(arguments)  # type: ignore[operator]
    except SystemExit as error:
        return int(error.code or 0)
    return 0
