"""The page put together: for one dataset, or for several side by side."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from awac_tr import __version__
from awac_tr.data.format.findings import Finding, errors_of
from awac_tr.data.plots.coverage import coverage
from awac_tr.data.plots.plot import Against, draw_picture, samples_against
from awac_tr.data.plots.sample import Sample
from awac_tr.data.plots.style import THEMES
from awac_tr.data.report import rows
from awac_tr.data.report.html import (
    Html,
    element,
    entries_part,
    figures,
    findings_part,
    joined,
    lineage_part,
    overview_part,
    table,
    trusted,
)
from awac_tr.data.statistics.statistics import dataset_info
from awac_tr.data.storage.reader import Dataset
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError
from awac_tr.utils.atomic import write_text

__all__ = ["write_report"]

_SUFFIXES: Final = (".html", ".htm")
_DPI: Final = 160
# Nothing is fetched, nothing is run: even if something slipped through, the browser would refuse it.
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_OF_ONE: Final = {
    "returns": "Return and length of every episode, as shares of all episodes.",
    "success": "Every episode is a mark, above where it reached the goal, below where it did not; the line is their "
    "running share, the dotted one that of the whole file. A drift means that the source changed.",
    "states": "A seeded sample of the states, standardised, in the plane of their two main directions (principal "
    "components), coloured by how far along in its episode each lies.",
    "rewards": "Episodes spread evenly over the file, step by step.",
    "actions": "Every column is an entry of the action: how often which value, and above it how often one at a bound. "
    "Entries that are clipped often carry less than they seem to.",
}
_OF_SEVERAL: Final = {
    "returns": _OF_ONE["returns"],
    "success": "The running share of episodes that reach the goal, against the share of each file's episodes gone by.",
    "states": "As many states of each dataset as of any other decide the plane, so that they can be compared. None is "
    "drawn on top.",
}


@dataclass(frozen=True)
class _Section:
    """What is known of one file; ``info`` and ``sample`` are None where it cannot be loaded."""

    path: Path
    findings: list[Finding]
    info: dict[str, Any] | None
    sample: Sample | None

    @property
    def name(self) -> str:
        return self.sample.name if self.sample else self.path.stem


def write_report(
    paths: Sequence[str | Path], out: str | Path, *, against: str | Path | None = None, seed: int = 0
) -> Path:
    """Write one self-contained page about datasets: it fetches nothing and runs nothing.

    A file that is faulty but can be read gets a section with its faults and no pictures.

    Args:
        paths: dataset files.
        out: a .html file, which is returned; replaced if it is there, whole or not at all.
        against: a dataset whose states are looked for in the others, and theirs in it.
        seed: of the states that are drawn.

    Raises:
        DatasetError: a file cannot be read at all, the datasets do not fit together, or another kind of file is named.
    """
    if Path(out).suffix.lower() not in _SUFFIXES:
        raise DatasetError(f"cannot write a report into {out}", "Name a file that ends in .html.")
    findings = [validate(path) for path in paths]
    sound = []
    for path in paths:
        with Dataset(path) as dataset:  # its rows may be faulty
            sound += [] if errors_of(dataset.findings) else [path]
    samples, held = samples_against(sound, against, seed=seed) if sound else ([], None)
    waiting = iter(samples)
    sections = []
    for path, found in zip(paths, findings, strict=True):
        info, sample = (dataset_info(path), next(waiting)) if path in sound else (None, None)
        sections.append(_Section(Path(path), found, info, sample))
    write_text(Path(out), _page(sections, samples, held), DatasetError)
    return Path(out)


def _page(sections: Sequence[_Section], samples: Sequence[Sample], held: Against | None) -> str:
    several = len(sections) > 1
    title = f"{len(sections)} datasets" if several else sections[0].name
    nav = [element("a", one.name, href=f"#file-{number}") for number, one in enumerate(sections)]
    body = element(
        "main",
        element("h1", f"Report on {title}" if several else title),
        element("nav", *nav) if several else None,
        _together(sections, samples, held) if len(samples) > 1 else None,
        *(_section(one, number, alone=not several, held=held) for number, one in enumerate(sections)),
        element("footer", f"awac-tr {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
    )
    head = joined(
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} - awac-tr data report"),
        element("style", trusted(files("awac_tr.data.report").joinpath("page.css").read_text(encoding="utf-8"))),
    )
    return f"<!doctype html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"


def _together(sections: Sequence[_Section], samples: Sequence[Sample], held: Against | None) -> Html:
    """All datasets in one picture each, and who covers whom."""
    names = ", ".join(sample.name for sample in samples)
    parts: list[Html] = [
        element("h2", "Side by side"),
        overview_part([(one.name, one.info, one.findings) for one in sections]),
    ]
    for name, words in _OF_SEVERAL.items():
        parts += [element("h3", _TITLES[name]), element("p", words), _picture(name, samples, f"{name} of {names}")]
    parts += [element("h3", "Coverage"), element("p", _COVERAGE_WORDS), _matrix(samples)]
    if held is not None:
        parts.append(_picture("coverage", samples, f"coverage of {names} against {held.sample.name}", held))
    return joined(*parts)


def _matrix(samples: Sequence[Sample]) -> Html:
    """Share of the column's states that the row covers."""
    shares = [
        (mine.name, *("" if mine is other else f"{coverage(mine, other).share:.0%}" for other in samples))
        for mine in samples
    ]
    return table(("covers", *(sample.name for sample in samples)), shares, class_="numbers")


def _section(one: _Section, number: int, *, alone: bool, held: Against | None) -> Html:
    heading = None if alone else element("h2", one.name, id=f"file-{number}")
    place = element("p", str(one.path), class_="faint")
    findings = joined(element("h3", "Findings"), findings_part(one.findings))
    if one.info is None or one.sample is None:
        words = "This file cannot be loaded as it is, so there are no numbers and no pictures of it."
        return joined(heading, place, element("p", words, class_="warn"), findings)
    return joined(
        heading,
        place,
        element("p", one.info["meta"]["description"]) if one.info["meta"]["description"] else None,
        figures(one.info),
        element("h3", "Lineage"),
        lineage_part(one.info["lineage"]),
        findings,
        element("h3", "Origin"),
        table(("", ""), rows.origin_rows(one.info)),
        element("h3", "Episodes and rewards"),
        element(
            "div",
            table(rows.MEASURES, rows.measure_rows(one.info), class_="numbers"),
            table(rows.REWARDS, rows.reward_rows(one.info), class_="numbers"),
            class_="side",
        ),
        _pictures(one.sample, alone=alone, held=held),
        element("h3", "Entries of states and actions"),
        entries_part(one.info),
        element(
            "details", element("summary", "Arrays"), table(rows.ARRAYS, rows.array_rows(one.info), class_="numbers")
        ),
    )


def _pictures(sample: Sample, *, alone: bool, held: Against | None) -> Html:
    """All pictures of one dataset; of several, those that are not above already."""
    parts: list[Html] = []
    for name, words in _OF_ONE.items():
        if alone or name not in ("returns", "success"):
            parts += [element("h3", _TITLES[name]), element("p", words), _picture(name, [sample], name)]
    if alone and held is not None:
        picture = _picture("coverage", [sample], f"coverage against {held.sample.name}", held)
        parts += [element("h3", "Coverage"), element("p", _COVERAGE_WORDS), picture]
    return joined(*parts)


def _picture(name: str, samples: Sequence[Sample], alt: str, held: Against | None = None) -> Html:
    """A picture inside the page, once for light and once for dark surroundings."""
    light, dark = (
        "data:image/png;base64,"
        + base64.b64encode(draw_picture(name, samples, THEMES[theme], against=held, dpi=_DPI)).decode()
        for theme in ("light", "dark")
    )
    return element(
        "picture",
        element("source", media="(prefers-color-scheme: dark)", srcset=dark),
        element("img", src=light, alt=alt),
    )


_TITLES: Final = {
    "returns": "Returns and lengths",
    "success": "Success",
    "states": "States visited",
    "rewards": "Rewards, step by step",
    "actions": "Actions",
}
_COVERAGE_WORDS: Final = (
    "The share of one dataset's states to which the other comes as close as 95 % of them lie to their own dataset's "
    "other episodes. Another lot of episodes of the same source, as many, would come to about 95 %."
)
