"""One input, one process: what became of it, and everything it did that reading has no business doing."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPU_SECONDS = 20
WALL_SECONDS = 900
"""Far beyond what a busy machine makes of the processor's seconds: only a reader that waits for ever gets there."""
SPARE_BYTES = 96 << 20
"""Memory any reader may take beyond what the size of the file explains: blocks, pages of libraries used first."""
TIMES = 40
"""Memory a reader may take for each byte of its file."""
ADDRESS_BYTES = 6 << 30
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "pty.spawn",
    "socket.connect",
    "socket.bind",
    "os.spawn",
    "os.symlink",
    "os.link",
)
WRITING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "shutil.rmtree", "os.utime")
CANARY = "awac_fuzz_canary"


@dataclass(frozen=True)
class Outcome:
    """What became of an input: read, refused, or what it did instead."""

    kind: str
    text: str = ""
    seconds: float = 0.0
    grown: int = 0


def judge(read: Callable[[], Any], sandbox: Path, size: int) -> Outcome:
    """Run a reader in a process of its own.

    Args:
        read: reads; its files lie in ``sandbox/in``, it writes to ``sandbox/out``.
        sandbox: the only folder it may change.
        size: bytes of its input.
    """
    before = listing(sandbox)
    receive, send = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _inside(read, sandbox, send)
    os.close(send)
    said, alive = _listen(receive, started + WALL_SECONDS)
    os.close(receive)
    if alive:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    seconds = used.ru_utime + used.ru_stime
    if alive or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
        return Outcome("hang", said, seconds)
    if os.WIFSIGNALED(status):
        return Outcome("crash", signal.Signals(os.WTERMSIG(status)).name + "\n" + said, seconds)
    found = json.loads(said) if said.endswith("}") else {"kind": "crash", "text": f"ended without a word: {said}"}
    allowed = SPARE_BYTES + TIMES * size
    if found["kind"] in ("read", "refused"):
        added = sorted(listing(sandbox) - before)
        left = (
            added
            if found["kind"] == "refused"
            else [name for name in added if not name.startswith("out/") or name.endswith(".part")]
        )
        if left:
            return Outcome("left files", ", ".join(left), seconds)
        if found["grown"] > allowed:
            return Outcome(
                "memory", f"{found['grown']:,} bytes for a file of {size:,}; {found['text']}", seconds, found["grown"]
            )
    return Outcome(found["kind"], found["text"], seconds, found.get("grown", 0))


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _listen(receive: int, until: float) -> tuple[str, bool]:
    said = b""
    while True:
        ready, _, _ = select.select([receive], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return said.decode("utf-8", "replace"), True
        part = os.read(receive, 1 << 16)
        if not part:
            return said.decode("utf-8", "replace"), False
        said += part


def _inside(read: Callable[[], Any], sandbox: Path, send: int) -> None:
    """The child: limits, a watch over what Python does, the reader, one word about it; never returns."""
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = int(time.process_time()) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS, used + CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
        os.chdir(sandbox)
        deeds: list[str] = []
        _watch(sandbox, deeds)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = attempt(read)
        found["grown"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if CANARY in sys.modules:
            deeds.append("imported what a file named")
        if deeds:
            found = {"kind": "deed", "text": "; ".join(deeds) + " | " + found["text"]}
        os.write(send, json.dumps(found).encode())
    finally:
        os._exit(0)


def attempt(read: Callable[[], Any]) -> dict[str, Any]:
    """Read, and say in a word and a text what came of it."""
    from awac_tr.errors import AwacError

    try:
        read()
    except AwacError as error:
        return {"kind": "refused", "text": str(error)[:300]}
    except BaseException as error:  # noqa: BLE001  (it is the finding)
        return {"kind": "error", "text": "".join(traceback.format_exception(error))[-6000:]}
    return {"kind": "read", "text": ""}


def _watch(sandbox: Path, deeds: list[str]) -> None:
    """Note whatever changes files outside the sandbox, starts programs or opens connections."""
    inside, real = f"{sandbox}{os.sep}", f"{sandbox.resolve()}{os.sep}"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN or (event == "subprocess.Popen" and not _is_probe(arguments)):
            deeds.append(f"{event} {arguments}"[:300])
        elif (
            event == "open"
            and isinstance(arguments[0], str | bytes)
            and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            name = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100  (".." goes, links stay)
            if not name.startswith((inside, real, "/dev/", "/proc/")):
                deeds.append(f"opened {name} for writing")
        elif event in WRITING and isinstance(arguments[0], str | bytes):
            name = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100  (".." goes, links stay)
            if not name.startswith((inside, real)):
                deeds.append(f"{event} {name}")

    sys.addaudithook(hook)


def _is_probe(arguments: tuple[Any, ...]) -> bool:
    return "awac_tr" in str(arguments[1])
