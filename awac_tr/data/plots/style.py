"""How our pictures look, in light and in dark surroundings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["DARK", "FORMATS", "LIGHT", "THEMES", "Theme", "clean", "number_text", "percent", "share_text", "styled"]

# Okabe and Ito's palette: told apart with any kind of colour vision, and in grey.
_PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
FORMATS: Final = (".png", ".pdf", ".svg")
"""What a picture's name may end in."""

_MAX_LETTERS: Final = 48
_SMALL: Final = 0.04


@dataclass(frozen=True)
class Theme:
    """Colours of a picture: background, text, what should be seen last, lines and what is empty, one a dataset."""

    name: str
    paper: str
    ink: str
    faint: str
    grid: str
    palette: tuple[str, ...]

    def colour(self, number: int) -> str:
        """Of the dataset of this number."""
        return self.palette[number % len(self.palette)]

    def ramp(self, *colours: str) -> Colormap:
        """From one colour to the next."""
        from matplotlib.colors import LinearSegmentedColormap

        return LinearSegmentedColormap.from_list("ramp", colours, N=256)


LIGHT: Final = Theme("light", "#ffffff", "#1f2328", "#6b7280", "#e8e8ea", (*_PALETTE, "#000000"))
DARK: Final = Theme(
    "dark", "#14171c", "#e6e8eb", "#9aa3ad", "#2c323a", ("#56B4E9", *_PALETTE[1:5], "#F0E442", "#ffffff")
)
THEMES: Final = {theme.name: theme for theme in (LIGHT, DARK)}


@contextmanager
def styled(theme: Theme) -> Iterator[None]:
    """Draw in a theme; matplotlib's settings are as before afterwards."""
    import matplotlib as mpl

    settings: Any = {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": theme.faint,
        "axes.labelcolor": theme.ink,
        "axes.facecolor": theme.paper,
        "axes.grid": True,
        "axes.axisbelow": True,
        "figure.facecolor": theme.paper,
        "grid.color": theme.grid,
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "savefig.facecolor": theme.paper,
        "text.color": theme.ink,
        "text.parse_math": False,  # a file may be called $x$
        "xtick.color": theme.faint,
        "xtick.labelcolor": theme.ink,
        "ytick.color": theme.faint,
        "ytick.labelcolor": theme.ink,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # names may be written in letters that the font has not; they become boxes
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        yield


def clean(text: str, letters: int = _MAX_LETTERS) -> str:
    r"""A stranger's words as a label: nothing that cannot be printed, and not endless.

    >>> clean("a\nb")
    'a b'
    """
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return words if len(words) <= letters else words[: letters - 1] + "…"


def share_text(share: float) -> str:
    """A share as our axes write it, ``29 %``."""
    return f"{100 * share:.0f} %"


def number_text(value: float) -> str:
    """A number with the minus sign that axes have."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def percent(axis: Axes, which: str = "y") -> None:
    """Write the shares of an axis as percentages, with a decimal where it shows very little."""
    from matplotlib.ticker import FuncFormatter

    shown = axis.yaxis if which == "y" else axis.xaxis
    digits = 1 if max(shown.get_view_interval()) < _SMALL else 0
    shown.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.{digits}f} %"))
