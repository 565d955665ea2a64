"""Exporting: a dataset of ours written in the format of another tool."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from awac_tr.data.convert.formats import EXPORTS, module_of
from awac_tr.data.format.findings import report
from awac_tr.data.storage.reader import Dataset, open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError

__all__ = ["ExportReport", "export_dataset"]

_LOG = logging.getLogger(__name__)


@dataclass
class ExportReport:
    """What an export did: ``out`` is the file made, or the Minari id; ``notes`` what is worth knowing, in sentences."""

    format: str
    out: str
    content_hash: str = ""
    episodes: int = 0
    transitions: int = 0
    notes: list[str] = field(default_factory=list)


def export_dataset(source: str | Path, out: str, *, format_name: str, overwrite: bool = False) -> ExportReport:
    """Write a dataset in the format of another tool.

    Args:
        source: dataset file; validated before anything is written.
        out: file to make, or a Minari id such as ``door/clone-v0``; appears when it is whole.
        format_name: one of :data:`awac_tr.data.convert.formats.EXPORTS`.
        overwrite: replace what is there.

    Raises:
        DatasetError: the dataset has errors, or ``out`` exists or cannot be written.
    """
    if format_name not in EXPORTS:
        raise DatasetError(f"there is no format {format_name!r} to export to", "There are " + ", ".join(EXPORTS) + ".")
    source = Path(source)
    if Path(out).exists() and source.exists() and source.samefile(out):
        raise DatasetError(f"{out} is the dataset itself", "Choose another --out.")
    report(source, validate(source))
    with open_dataset(source) as dataset:
        notes = [*_units(dataset), *module_of(format_name).export(dataset, out, overwrite=overwrite)]
        done = ExportReport(format_name, out, dataset.content_hash, dataset.n_episodes, dataset.n_transitions, notes)
    for note in notes:
        _LOG.info("%s", note)
    return done


def _units(dataset: Dataset) -> list[str]:
    """Scaled actions leave as they are, so that the file comes back as it was; who reads it must be told."""
    meta = dataset.meta
    if not (dataset.ours and meta.env_id and meta.env.rescale_actions):
        return []
    return [f"its actions are scaled: -1 and 1 stand for the bounds of {meta.env_id}'s own (env.rescale_actions)"]
