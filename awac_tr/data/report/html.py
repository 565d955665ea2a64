"""The page: HTML put together from elements, so that words of a stranger's file cannot become anything but words."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from awac_tr.data.format.findings import Finding
from awac_tr.data.plots.style import clean
from awac_tr.data.report import rows
from awac_tr.data.statistics.text import STATES, readable_bytes

__all__ = [
    "Html",
    "element",
    "entries_part",
    "figures",
    "findings_part",
    "joined",
    "lineage_part",
    "overview_part",
    "table",
    "trusted",
]

_VOID = frozenset({"img", "meta", "source", "br"})
_LETTERS: Final = 24
_MANY: Final = 200
"""Entries of a table beyond which it would make the page slow."""


class Html(str):
    """Markup that was put together here; any other text is escaped before it comes onto a page."""

    __slots__ = ()


Node = str | Html | None
"""What an element holds: markup, text, or nothing."""


def trusted(text: str) -> Html:
    """Markup of our own, as it stands. Never give it words of a file."""
    return Html(text)


def joined(*nodes: Node) -> Html:
    """One after the other.

    >>> joined("a < b", element("br"))
    'a &lt; b<br>'
    """
    return Html("".join(node if isinstance(node, Html) else _escaped(node) for node in nodes if node is not None))


def element(tag: str, *children: Node, **attributes: str | None) -> Html:
    """An element; text among its children and all values of attributes are escaped, None is left out.

    The tag and the names of attributes are ours, with _ for - and one behind Python's own words (``class_``).

    >>> element("p", "<script>", class_='a" onload="x')
    '<p class="a&quot; onload=&quot;x">&lt;script&gt;</p>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_escaped(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{given}>")
    return Html(f"<{tag}{given}>{joined(*children)}</{tag}>")


def _escaped(text: str) -> str:
    """Escaped, and without characters that a page cannot hold or that turn its reading order around."""
    return html.escape("".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text))


def table(columns: Sequence[str], lines: Iterable[Sequence[Node]], *, class_: str | None = None) -> Html:
    """A table, its first column the names of the rows; columns without names get no header."""
    head = element("tr", *(element("th", name, scope="col") for name in columns)) if any(columns) else None
    body = [
        element("tr", element("th", line[0], scope="row"), *(element("td", cell) for cell in line[1:]))
        for line in lines
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


def entries_part(info: Mapping[str, Any]) -> Html:
    """States and actions in a line each, and every entry of them behind a click."""
    return joined(table(("", ""), rows.entry_rows(info)), *(_every(info, name) for name in info["dims"]))


def _every(info: Mapping[str, Any], name: str) -> Html:
    left = len(info["dims"][name]["mean"]) - _MANY
    more = element("p", f"and {left:,} more: awac-tr data info --dims shows them") if left > 0 else None
    body = table(rows.EVERY_ENTRY, islice(rows.every_entry(info, name), _MANY), class_="numbers")
    return element("details", element("summary", f"Every entry of {name}"), body, more)


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
    items = [
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
    return element("ul", *items, class_="findings")
