"""The parts of a page: tables, key figures, the lineage, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from awac_tr.data.format.findings import Finding
from awac_tr.data.plots.style import clean
from awac_tr.data.report.html import Html, Node, element, joined
from awac_tr.data.statistics.text import STATES, entries_text, range_text, readable_bytes

__all__ = [
    "arrays_part",
    "entries_part",
    "facts",
    "figures",
    "findings_part",
    "lineage_part",
    "measures_part",
    "overview_part",
    "table",
]

_MEASURES: Final = ("mean", "std", "min", "median", "max")
_MOMENTS: Final = ("mean", "std", "min", "max")
_LETTERS: Final = 24
_MANY: Final = 200
"""Entries of a table beyond which it would make the page slow."""


def table(columns: Sequence[str], rows: Iterable[Sequence[Node]], *, class_: str | None = None) -> Html:
    """A table, its first column the names of the rows; columns without names get no header."""
    head = element("tr", *(element("th", name, scope="col") for name in columns)) if any(columns) else None
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    parts = [element("thead", head)] if head else []
    return element("div", element("table", *parts, element("tbody", *body), class_=class_), class_="scroll")


def overview_part(files: Sequence[tuple[str, Mapping[str, Any] | None, Sequence[Finding]]]) -> Html:
    """A row a file: name, numbers (None where it cannot be loaded), findings."""
    columns = ("", "environment", "source", "episodes", "transitions", "reach the goal", "mean return", "findings")
    return table(columns, [_overview(*file) for file in files], class_="numbers")


def _overview(name: str, info: Mapping[str, Any] | None, findings: Sequence[Finding]) -> tuple[Node, ...]:
    counts = Counter(finding.severity for finding in findings)
    badges = [
        joined(element("span", f"{count} {word}{'s' if count > 1 else ''}", class_=f"badge {word}"), " ")
        for word, count in counts.items()
    ]
    said = joined(*badges) if badges else element("span", "sound", class_="badge good")
    if info is None:
        return (name, "cannot be loaded", "", "", "", "", "", said)
    success, returns = (info["measures"].get(measure) for measure in ("success_any", "return"))
    return (
        name,
        clean(info["meta"]["env_id"], _LETTERS) or "unknown",
        clean(info["meta"]["source"], _LETTERS),
        f"{info['episodes']:,}",
        f"{info['transitions']:,}",
        f"{success['mean']:.0%}" if success else "",
        f"{returns['mean']:.4g}" if returns else "",
        said,
    )


def figures(info: Mapping[str, Any]) -> Html:
    """What is looked for first, in large."""
    measures = info["measures"]
    found = {"episodes": f"{info['episodes']:,}", "transitions": f"{info['transitions']:,}"}
    if "success_any" in measures:
        found["reach the goal"] = f"{measures['success_any']['mean']:.0%}"
    if "return" in measures:
        found["mean return"] = f"{measures['return']['mean']:.4g}"
    if "length" in measures:
        found["mean length"] = f"{measures['length']['mean']:.4g}"
    found["of action entries at a bound"] = f"{info['actions']['saturation']:.1%}"
    found["on disk"] = readable_bytes(info["storage"]["file"])
    cards = [
        element("div", element("b", number), element("span", words), class_="figure") for words, number in found.items()
    ]
    return element("div", *cards, class_="figures")


def facts(info: Mapping[str, Any]) -> Html:
    """Where the file comes from; what it does not say is left out."""
    meta, storage = info["meta"], info["storage"]
    rows = {
        "Environment": meta["env_id"] or "unknown",
        "Its arguments": meta["env_kwargs"] or None,
        "Its options": meta["env_options"] or None,
        "Horizon": meta["horizon"] and f"{meta['horizon']:,} steps",
        "Source": meta["source"],
        "Policy": meta["policy"],
        "Seed": meta["seed"],
        "Licence": meta["licence"] or "not stated",
        "Description": meta["description"],
        "Created": info["created"],
        "Versions": ", ".join(f"{name} {version}" for name, version in info["versions"].items()),
        "Content hash": info["content_hash"],
        "Ends": f"{info['terminals']:,} terminal, {info['timeouts']:,} cut",
        "Size": f"{readable_bytes(storage['file'])} on disk, {readable_bytes(storage['memory'])} uncompressed, "
        f"{readable_bytes(storage['buffer'])} in a replay buffer",
        "Format": f"{info['format_version']}" if info["format_version"] else "D4RL-flat, not written by awac-tr",
    }
    return table(("", ""), [(name, str(value)) for name, value in rows.items() if value not in (None, "")])


def measures_part(info: Mapping[str, Any]) -> Html:
    """Measures of the episodes, and the rewards they are made of."""
    measures = [(name, *(f"{found[key]:.4g}" for key in _MEASURES)) for name, found in info["measures"].items()]
    parts = [table(("per episode", *_MEASURES), measures, class_="numbers")]
    rewards = info["rewards"]
    if rewards["values"] is not None:
        rows = [
            (f"{found['value']:.6g}", f"{found['count']:,}", f"{found['count'] / max(info['transitions'], 1):.1%}")
            for found in rewards["values"]
        ]
        parts.append(table(("reward", "rows", "share"), rows, class_="numbers"))
    else:
        parts.append(table(("rewards", *_MOMENTS), [("all", *(f"{rewards[key]:.4g}" for key in _MOMENTS))]))
    return element("div", *parts, class_="side")


def entries_part(info: Mapping[str, Any]) -> Html:
    """States and actions in a line each, and every entry of them behind a click."""
    actions, lines = info["actions"], []
    for name, found in info["dims"].items():
        words = f"{len(found['mean'])} numbers, std {range_text(found['std'])}"
        words += f", constant: {entries_text(found['constant'])}" if found["constant"] else ""
        bad = sum(found["not_finite"])
        lines.append((name, words + (f", {bad:,} NaN or infinite" if bad else "")))
    bounds = f"{range_text(actions['low'])} below, {range_text(actions['high'])} above"
    lines.append(("action bounds", bounds))
    return joined(table(("", ""), lines), *(_every(name, found, actions) for name, found in info["dims"].items()))


def _every(name: str, found: Mapping[str, Any], actions: Mapping[str, Any]) -> Html:
    rows, constant = [], set(found["constant"])
    for entry in range(min(len(found["mean"]), _MANY)):
        notes = ["constant"] if entry in constant else []
        if name == "actions" and (at := actions["at_low"][entry] + actions["at_high"][entry]) > 0:
            notes.append(f"{at:.1%} at a bound")
        rows.append((str(entry), *(f"{found[key][entry]:.4g}" for key in _MOMENTS), ", ".join(notes)))
    left = len(found["mean"]) - len(rows)
    more = element("p", f"and {left:,} more: awac-tr data info --dims shows them") if left else None
    body = table(("entry", *_MOMENTS, ""), rows, class_="numbers")
    return element("details", element("summary", f"Every entry of {name}"), body, more)


def arrays_part(info: Mapping[str, Any]) -> Html:
    """Type, shape and storage of the arrays, behind a click."""
    rows = [
        (
            array["name"],
            array["dtype"],
            " x ".join(f"{size:,}" for size in array["shape"]),
            f"{array['min']:.4g}",
            f"{array['max']:.4g}",
            readable_bytes(array["stored"]),
            array["compression"],
        )
        for array in info["arrays"]
    ]
    columns = ("array", "type", "shape", "min", "max", "on disk", "compression")
    return element("details", element("summary", "Arrays"), table(columns, rows, class_="numbers"))


def lineage_part(node: Mapping[str, Any]) -> Html:
    """The tree of where a file comes from, this file first."""
    return element("ul", _branch(node), class_="tree")


def _branch(node: Mapping[str, Any]) -> Html:
    state = STATES.get(node["state"])
    words = [
        element("b" if node["kind"] == "dataset" else "span", node["name"]),
        element("span", node["detail"], class_="faint") if node["detail"] else None,
        element("code", node["hash"][:19], title=node["hash"]) if node["hash"] else None,
        element("span", state, class_="faint" if node["state"] == "seen" else "warn") if state else None,
    ]
    spaced = [part for word in words if word is not None for part in (word, " ")]
    parents = [_branch(parent) for parent in node["parents"]]
    return element("li", *spaced, element("ul", *parents) if parents else None)


def findings_part(findings: Sequence[Finding]) -> Html:
    """What validation says, worst first."""
    if not findings:
        return element("p", element("span", "sound", class_="badge good"), " Validation found nothing to say.")
    rows = [
        element(
            "li",
            element("span", finding.severity, class_=f"badge {finding.severity}"),
            " ",
            element("code", finding.code),
            " ",
            element("span", finding.where, class_="faint"),
            element("div", finding.message),
            element("div", finding.harm, class_="faint") if finding.harm else None,
            element("div", finding.remedy, class_="faint") if finding.remedy else None,
        )
        for finding in findings
    ]
    return element("ul", *rows, class_="findings")
