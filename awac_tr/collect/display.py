"""How far a collection is, on stderr: one live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from awac_tr.collect.report import CollectProgress
from awac_tr.training.cloning import CloneProgress
from awac_tr.utils.console import PlainConsole
from awac_tr.utils.terminal import echo

__all__ = ["CollectDisplay"]

_LINE_EVERY: Final = 10.0
"""Seconds between plain lines."""


class CollectDisplay(AbstractContextManager["CollectDisplay"]):
    """Shows what the callbacks of :func:`awac_tr.collect.collect` tell.

    Args:
        quiet: show nothing.

    Example::

        with CollectDisplay() as display:
            collect(plan, on_episode=display.on_episode, on_check=display.on_check)
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._said = 0.0
        self._live: Progress | None = None
        console, note = PlainConsole(err=True), TextColumn("{task.fields[note]}")
        if not quiet and console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), note, TimeRemainingColumn())
            self._live = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def on_check(self, progress: CloneProgress) -> None:
        """A check of a clone."""
        note = f"loss {progress.train_loss:.3f}"
        if progress.validation_loss is not None and progress.best is not None:
            note = f"held-out loss {progress.validation_loss:.3f}, best {progress.best:.3f}"
        self._show("cloning, update", progress.update, None, note, last=False)

    def on_episode(self, progress: CollectProgress) -> None:
        """An episode is finished."""
        note = f"{progress.steps_per_second:,.0f} steps/s"
        if progress.success is not None:
            note += f", success {progress.success:.1%}"
        self._show("episodes", progress.episodes, progress.total, note, last=progress.episodes == progress.total)

    def _show(self, what: str, done: int, total: int | None, note: str, *, last: bool) -> None:
        if self._live is not None:
            _show_live(self._live, what, done, total, note)
        elif not self._quiet and (last or time.monotonic() - self._said > _LINE_EVERY):
            self._said = time.monotonic()
            count = f"{done}" if total is None else f"{done}/{total}"
            echo(f"{what} {count}: {note}", err=True)


def _show_live(live: Progress, what: str, done: int, total: int | None, note: str) -> None:
    """One bar; it starts afresh when something else begins, so that its time left is of what it shows."""
    if not live.tasks or live.tasks[0].description != what or done < live.tasks[0].completed:
        for old in live.task_ids:
            live.remove_task(old)
        live.add_task(what, total=total, note=note)
    live.update(live.task_ids[0], completed=done, total=total, note=note)
