"""The rich console of tables, trees and live displays."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType  # noqa: TID251
from rich.segment import Segment

from awac_tr.errors import plain
from awac_tr.utils.terminal import raw_stream

__all__ = ["PlainConsole"]


class PlainConsole(Console):
    """Makes the texts it is given plain, and takes nothing in a string for markup; it writes to stdout by itself."""

    def __init__(self, *, err: bool = False, file: IO[str] | None = None, width: int | None = None) -> None:
        target = file or (sys.stderr if err else sys.stdout)
        super().__init__(file=raw_stream(target), width=width, markup=False, highlight=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's; control codes of its displays pass, letters of texts do not act as such."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else plain(text, keep="\n", letters=sys.maxsize), style, control)
