"""Importing: recorded episodes of any format become one dataset of ours, and everything done to them is said."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from awac_tr.data.convert.formats import FORMATS, detect, module_of, takers
from awac_tr.data.convert.recording import ImportSettings, Recording, no_effect
from awac_tr.data.convert.shaper import EpisodeShaper, ImportReport
from awac_tr.data.convert.target import find_target
from awac_tr.data.storage.action_reader import refuse_clipped
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import DatasetError

__all__ = ["ImportReport", "ImportSettings", "import_dataset"]

_LOG = logging.getLogger(__name__)

_MOST_LEFT_OUT: Final = 0.5
"""Share of episodes that may be left out: beyond it the recording, and not a few of its episodes, is at fault."""
_NAMED: Final = 3


def import_dataset(
    source: str | Path,
    out: str | Path,
    *,
    format_name: str = "auto",
    settings: ImportSettings | None = None,
    overwrite: bool = False,
) -> ImportReport:
    """Make a dataset of a recording in another format.

    Args:
        source: file, folder, or Minari id.
        out: dataset file to make; appears when it is whole.
        format_name: ``auto``, or one of :data:`awac_tr.data.convert.formats.FORMATS`.
        settings: what the user says about the recording.
        overwrite: replace an existing file.

    Raises:
        DatasetError: the recording cannot be read, lacks something that cannot be made up, or ``out`` exists.
        EnvError: the named environment is unknown.
    """
    settings = settings or ImportSettings()
    found = detect(str(source), format_name)
    _refuse_idle(found, settings)
    if Path(source).exists() and Path(out).exists() and Path(source).samefile(out):
        raise DatasetError(f"{out} is the recording itself", "Choose another --out.")
    with module_of(found).open_recording(str(source), settings) as recording:
        settings = replace(settings, relabel=settings.relabel or recording.origin.relabel)
        return _import(recording, Path(out), settings, overwrite=overwrite)


def _refuse_idle(format_name: str, settings: ImportSettings) -> None:
    """Refuse what the user says of a recording that an import of this format does not look at."""
    taken = {*FORMATS[format_name].options, "env_id", "licence"}
    for one in fields(settings):
        if getattr(settings, one.name) != one.default and one.name not in taken:
            only = " and ".join(takers(one.name))
            raise no_effect(one.name, f"on the format {format_name}, only on {only}")


def _import(recording: Recording, out: Path, settings: ImportSettings, *, overwrite: bool) -> ImportReport:
    target, name = find_target(recording, settings), recording.origin.name
    report, unusable = ImportReport(out), list[UnusableEpisodeError]()
    shaper = EpisodeShaper(target, settings, report)
    with DatasetWriter(out, target.meta, overwrite=overwrite) as writer:
        for one in recording.episodes():
            try:
                if isinstance(one, UnusableEpisodeError):
                    raise one
                episode = shaper.episode(one)
                if episode is not None:
                    writer.append(episode, per_episode=one.per_episode)
            except UnusableEpisodeError as error:
                unusable.append(error)
        left_out = _left_out(name, unusable, writer.episodes)
        if not writer.episodes:
            raise DatasetError(f"{name} holds no transition that could be stored")
        report.episodes, report.transitions = writer.episodes, writer.transitions
        if settings.reward is not None and not shaper.rewarded:
            raise no_effect("reward", "here: every row has one, or gets one by --relabel")
        if shaper.clip is not None:
            refuse_clipped(name, shaper.clip, settings.out_of_bounds)
        report.notes += [*left_out, *target.notes, *shaper.notes(), *recording.notes]
        extra: dict[str, Any] = {} if target.exact else {"import_notes": report.notes}
        report.content_hash = writer.finish(extra | ({"left_out": left_out[0]} if left_out else {}))
    for note in report.notes:
        _LOG.info("%s", note)
    card = recording.origin.export_card
    if card is not None and target.exact and card.content_hash != report.content_hash:
        _LOG.warning("%s was changed since awac-tr exported it: its arrays are others", name)
    return report


def _left_out(name: str, unusable: list[UnusableEpisodeError], kept: int) -> list[str]:
    """How many episodes were left out and why, the first few named; nothing where none was.

    Raises:
        DatasetError: these are more than half of all.
    """
    left, total = len(unusable), len(unusable) + kept
    if not left:
        return []
    reasons = "; ".join(error.message for error in unusable[:_NAMED]) + ("; ..." if left > _NAMED else "")
    if left > _MOST_LEFT_OUT * total:
        hint = unusable[0].hint or "Up to half of the episodes may be left out: mend what recorded them."
        which = "its one episode" if total == 1 else f"{left} of {total} episodes"
        where = "" if name in reasons else f"{name}: "
        raise DatasetError(f"{where}{which} cannot be used: {reasons}", hint)
    return [f"{left} of {total} episodes left out: {reasons}"]
