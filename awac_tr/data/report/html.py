"""HTML put together from elements, so that words of a stranger's file cannot become anything but words."""

from __future__ import annotations

import html

__all__ = ["Html", "Node", "element", "joined", "trusted"]

_VOID = frozenset({"img", "meta", "source", "br"})


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
    """An element; text among its children and all values of attributes are escaped.

    Args:
        tag: its name, ours.
        *children: what it holds; None is left out.
        **attributes: names, ours, with underscores for hyphens and one behind Python's own words (``class_``); None is
            left out.

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
