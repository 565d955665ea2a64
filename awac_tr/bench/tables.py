"""A bench's report for people: tables and sentences, on any rich console."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from awac_tr.bench.clock import Rate
from awac_tr.bench.report import Report
from awac_tr.utils.console import PlainConsole

__all__ = ["print_report"]


def print_report(report: Report, console: PlainConsole) -> None:
    """Print what was measured, and then which settings to choose."""
    for line in _head(report):
        console.print(line, soft_wrap=True)
    for title, table in (
        ("Updates, sampling included", _updates(report)),
        ("Environment steps", _steps(report)),
        ("Memory and data", _memory(report)),
    ):
        console.print(f"\n{title}", style="bold")
        console.print(table)
    console.print("\nWhat to choose", style="bold")
    for line in _advice(report):
        console.print(line, soft_wrap=True)
    for note in report.notes:
        console.print(f"Note: {note}.", soft_wrap=True, style="dim")


def _head(report: Report) -> Iterator[str]:
    task, machine = report.task, report.machine
    update = sum(report.flops.values()) / 1e9
    sizes = f"policy {task['policy_hidden_sizes']}, {task['critics']} critics {task['qvalue_hidden_sizes']}"
    work = f"batch {task['batch_size']}, {sizes}: {update:.3g} GFLOP an update"
    yield f"{report.recipe}: {task['env']}, {task['algorithm']}, {work}"
    where = machine["gpu"] if report.device.startswith("cuda") else machine["processor"]
    blocks = len(report.variants[0].rate.samples)
    software = f"torch {report.versions['torch']}; medians of {blocks} blocks, taken in turns"
    yield f"{report.device} ({where}), {report.threads} of {machine['usable_cores']} cores, {software}"
    for limit in report.limits:
        unit, speeds = f" ({limit.unit})" if limit.unit else "", limit.gflops
        spread = f"{speeds.median:.0f} ({speeds.low:.0f} .. {speeds.high:.0f})"
        speed = f"{spread} GFLOP/s on products {' x '.join(map(str, limit.shape))}"
        share = f"{limit.gflops.median / update:.3g} updates/s were there nothing else"
        yield f"limit in {limit.precision}{unit}: {speed}, {share}"


def _updates(report: Report) -> Table:
    headers = ["setting", "updates/s", "slowest .. fastest", "GFLOP/s", "of the limit", "start"]
    if report.peer is not None:
        headers.append(f"against {report.peer.name}")
    table = _table(*headers)
    for variant in report.variants:
        name = variant.setting.name + (" (recipe)" if variant.own else "")
        rate = variant.rate
        cells = [name, f"{rate.median:.3g}", _range(rate), f"{variant.gflops:.0f}", f"{variant.share:.0%}"]
        cells.append(f"{variant.start_seconds:.1f} s")
        if report.peer is not None:
            cells.append(f"{report.peer.times_faster(variant):.2f} x")
        table.add_row(*cells)
    if report.peer is not None:
        peer = report.peer
        label = f"{peer.name} {peer.version}"
        table.add_row(label, f"{peer.rate.median:.3g}", _range(peer.rate), "", "", "", "1 x")
        table.add_row(f"{label}, update only", f"{peer.update_only.median:.3g}", _range(peer.update_only))
    for count, rate in report.by_threads.items():
        setting = report.thread_setting.name if report.thread_setting else ""
        table.add_row(f"{setting}, {_count(count, 'thread')}", f"{rate.median:.3g}", _range(rate))
    return table


def _steps(report: Report) -> Table:
    table = _table("", "per second", "slowest .. fastest")
    for name, rate in (
        ("simulator, random actions", report.bare_steps),
        (f"collector, policy of {report.round_setting.name}", report.collector_steps),
    ):
        table.add_row(name, f"{rate.median:,.0f}", f"{rate.low:,.0f} .. {rate.high:,.0f}")
    if report.round is not None:
        what = f"online round of {_count(report.round.steps, 'step')} and {_count(report.round.updates, 'update')}"
        table.add_row(what, f"{1 / report.round.total_seconds:.3g}")
        for part, share in report.round.shares().items():
            table.add_row(f"  {part}", f"{share:.1%}")
    return table


def _memory(report: Report) -> Table:
    table = _table("", "")
    memory, data = report.memory, report.data
    for stage, size in memory.stages.items():
        table.add_row(f"resident after {stage}", _size(size))
    table.add_row("peak, everything measured", _size(memory.peak))
    if memory.gpu_peak is not None:
        table.add_row("peak on the GPU", _size(memory.gpu_peak))
    table.add_row(f"buffer of {memory.capacity:,} when full", _size(memory.full_buffer))
    seconds = data["load_seconds"]
    loaded = "not here" if seconds is None else f"{seconds:.2f} s"
    table.add_row(f"loading {data['transitions']:,} transitions", loaded)
    return table


def _advice(report: Report) -> Iterator[str]:
    advice, updates = report.advice, report.task["updates"]
    yield "  " + " ".join(advice.overrides)
    for reason in advice.reasons:
        yield f"  {reason}"
    own = "" if advice.own_seconds is None else f", with the recipe's own settings {_time(advice.own_seconds)}"
    yield f"  The recipe's {updates:,} updates then take {_time(advice.seconds)}{own}."


def _table(*headers: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=any(headers))
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number else "left", no_wrap=True)
    return table


def _range(rate: Rate) -> str:
    return f"{rate.low:.3g} .. {rate.high:.3g}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"  # noqa: PLR2004  (a GB)


def _time(seconds: float) -> str:
    """Two leading units.

    >>> _time(59.4), _time(3600 * 5 + 61), _time(200)
    ('59 s', '5 h 1 min', '3 min 20 s')
    """
    left, parts = round(seconds), list[str]()
    for name, size in (("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])
