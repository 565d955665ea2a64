"""The formats of others, declared once: what their files are, and which options of an import say anything about them.

The help texts are made of this, and so is the refusal of an option that a format does not look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["EXPORTS", "FORMATS", "IMPORTS", "Format", "list_formats", "takers"]

_ALWAYS: Final = frozenset({"horizon", "relabel", "actions", "out_of_bounds"})


@dataclass(frozen=True)
class Format:
    """A format that is read, perhaps also written.

    Attributes:
        files: what is imported, in words.
        options: fields of :class:`~awac_tr.data.convert.recording.ImportSettings` that an import of it looks at,
            beside the environment and the licence, which all do.
        exports: it can be written, too.
    """

    files: str
    options: frozenset[str]
    exports: bool = False


FORMATS: Final = {
    "d4rl": Format("D4RL's flat HDF5 file", _ALWAYS | {"reward", "dones", "ends"}, exports=True),
    "minari": Format("a Minari folder, or the ID of a Minari dataset", _ALWAYS, exports=True),
    "hand_dapg": Format("a pickle of hand_dapg, of which nothing is run", frozenset({"out_of_bounds"})),
    "robomimic": Format("robomimic's HDF5 file", _ALWAYS | {"reward", "obs_keys", "filter_key", "dones"}, exports=True),
    "lerobot": Format("a LeRobot v3 folder", _ALWAYS | {"reward", "obs_keys", "dones"}),
}
"""Formats by name; the module of that name in this package reads them."""

IMPORTS: Final = tuple(FORMATS)
"""Formats that can be imported."""

EXPORTS: Final = tuple(name for name, one in FORMATS.items() if one.exports)
"""Formats that can be exported to."""


def takers(option: str) -> tuple[str, ...]:
    """The formats whose import looks at an option; none where all do.

    >>> takers("filter_key")
    ('robomimic',)
    """
    found = tuple(name for name, one in FORMATS.items() if option in one.options)
    return () if len(found) == len(FORMATS) else found


def list_formats() -> str:
    """All formats that are read, for a message or a help text."""
    return ", ".join(f"{name} ({one.files})" for name, one in FORMATS.items())
