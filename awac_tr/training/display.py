"""What a run shows on stderr while it goes: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from awac_tr.utils.console import PlainConsole

if TYPE_CHECKING:
    from awac_tr.recipes.schema import Recipe
    from awac_tr.training.progress import Progress as RunProgress

__all__ = ["Display", "LineDisplay", "LiveDisplay", "make_display"]

_LINE_SECONDS: Final = 5.0
_SHOWN: Final = ("loss_actor", "loss_qvalue", "qvalue", "advantage", "effective_sample_size", "log_prob")


class Display:
    """Told of everything that happens, and shows nothing of it."""

    def start(self) -> None:
        """The run begins."""

    def activity(self, what: str) -> None:
        """The run now does this: ``updating``, ``collecting``, ``evaluating``."""

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of metrics was written."""

    def stop(self) -> None:
        """The run ends."""


def make_display(recipe: Recipe, progress: RunProgress, measure: str, *, quiet: bool, stream: IO[str]) -> Display:
    """A live panel where the stream is a terminal, else plain lines; nothing when quiet."""
    if quiet:
        return Display()
    console = PlainConsole(file=stream)
    pace = _Pace(recipe, progress)
    if console.is_terminal:
        return LiveDisplay(console, recipe, pace, measure)
    return LineDisplay(stream, pace, measure)


class _Pace:
    """Rates and time left, from the run's own counters and clocks; since the run was started or resumed."""

    def __init__(self, recipe: Recipe, progress: RunProgress) -> None:
        self.recipe = recipe
        self.progress = progress
        self.begun = time.monotonic()
        self._first_update, self._first_seconds = progress.update, progress.seconds.get("update", 0.0)

    @property
    def total_updates(self) -> int:
        return self.recipe.offline.updates + round(self.recipe.online.steps * self.recipe.online.updates_per_step)

    def updates_per_second(self) -> float | None:
        seconds = self.progress.seconds.get("update", 0.0) - self._first_seconds
        return (self.progress.update - self._first_update) / seconds if seconds > 0 else None

    def share_done(self) -> float:
        """By the count that is the larger part of the work: updates, or steps where there are no updates."""
        done, total = self.progress.update, self.total_updates
        if total == 0:
            done, total = self.progress.env_step, self.recipe.online.steps
        return done / total if total else 1.0

    def seconds_left(self) -> float | None:
        """By the seconds that an update has taken in the whole, evaluations and collection included."""
        made = self.progress.update - self._first_update
        if made == 0:
            return None
        return (self.total_updates - self.progress.update) * (time.monotonic() - self.begun) / made


def clock(seconds: float | None) -> str:
    """Hours, minutes and seconds.

    Example:
        >>> clock(3671), clock(None)
        ('1:01:11', '-')
    """
    if seconds is None:
        return "-"
    whole = int(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def describe(row: Mapping[str, Any], names: tuple[str, ...] = _SHOWN) -> str:
    """The named numbers of a row, in short.

    Example:
        >>> describe({"loss_actor": 1.23456, "qvalue": None})
        'loss_actor 1.235  qvalue nan'
    """
    return "  ".join(f"{name} {float('nan') if row[name] is None else row[name]:.4g}" for name in names if name in row)


def describe_evaluation(row: Mapping[str, Any], measure: str) -> str:
    """Success by the chosen measure, and the return.

    Example:
        >>> describe_evaluation({"success_any": 0.5, "return": -120.0}, "success_any")
        'success_any 50.0 %, return -120.0'
    """
    parts = [f"{measure} {100 * row[measure]:.1f} %"] if measure in row and measure != "return" else []
    return ", ".join([*parts, f"return {row['return']:.1f}"])


class LineDisplay(Display):
    """One line for each evaluation, and for the latest losses at most every few seconds."""

    def __init__(self, stream: IO[str], pace: _Pace, measure: str) -> None:
        self._stream, self._pace, self._measure = stream, pace, measure
        self._last = 0.0

    def row(self, row: Mapping[str, Any]) -> None:
        """Show an evaluation always, losses when the last line is some seconds old, rounds never."""
        now = time.monotonic()
        if row["event"] == "eval":
            self._say(row, "evaluated: " + describe_evaluation(row, self._measure))
        elif row["event"] == "train" and now - self._last >= _LINE_SECONDS:
            rate = self._pace.updates_per_second()
            speed = "-" if rate is None else f"{rate:.1f}"
            self._say(row, f"{speed} updates/s, {clock(self._pace.seconds_left())} left  {describe(row, _SHOWN[:4])}")
            self._last = now

    def _say(self, row: Mapping[str, Any], text: str) -> None:
        with suppress(OSError):  # nobody reads any more, or the disk is full: that is no reason to end a run
            self._stream.write(f"[{row['phase']}] update {row['update']}, step {row['env_step']}: {text}\n")
            self._stream.flush()


class LiveDisplay(Display):
    """A panel redrawn twice a second by a thread of its own, from the run's counters: the loop pays nothing for it."""

    def __init__(self, console: PlainConsole, recipe: Recipe, pace: _Pace, measure: str) -> None:
        self._recipe, self._pace, self._measure = recipe, pace, measure
        self._doing = "starting"
        self._train: Mapping[str, Any] = {}
        self._evaluated: list[Mapping[str, Any]] = []
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=40),
            TaskProgressColumn(),
            console=console,
        )
        self._task = self._bar.add_task(recipe.name, total=1.0)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, redirect_stdout=False)

    def start(self) -> None:
        """Show the panel."""
        self._live.start()

    def activity(self, what: str) -> None:
        """Name what is being done."""
        self._doing = what

    def row(self, row: Mapping[str, Any]) -> None:
        """Keep the latest numbers for the next drawing; evaluations also stay above the panel."""
        if row["event"] == "train":
            self._train = row
        elif row["event"] == "eval":
            self._evaluated.append(row)
            where = f"{row['phase']}, update {row['update']}, step {row['env_step']}"
            self._live.console.print(Text(f"{where}: {describe_evaluation(row, self._measure)}"))

    def stop(self) -> None:
        """Draw a last time and leave the panel where it is."""
        self._doing = "stopped"
        self._live.stop()

    def _render(self) -> Group:
        progress = self._pace.progress
        self._bar.update(self._task, completed=self._pace.share_done())
        rate = self._pace.updates_per_second()
        table = Table.grid(padding=(0, 2))
        table.add_row("phase", f"{progress.phase}, {self._doing}")
        table.add_row(
            "updates",
            f"{progress.update} of {self._pace.total_updates}" + ("" if rate is None else f", {rate:.1f} a second"),
        )
        table.add_row("env steps", f"{progress.env_step} of {self._recipe.online.steps}")
        table.add_row("time", f"{clock(time.monotonic() - self._pace.begun)}, {clock(self._pace.seconds_left())} left")
        if self._train:
            table.add_row("losses", describe(self._train))
        if self._evaluated:
            table.add_row("evaluated", describe_evaluation(self._evaluated[-1], self._measure))
        return Group(self._bar, table)
