"""What a user of the tool would be told of a file: by the import of other formats, and by the validation after it."""

from __future__ import annotations

import logging
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from awac_tr.data.convert.importer import ImportSettings, import_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.errors import AwacError
from validation.clean import Data
from validation.formats import write

DIRECT = ("ours", "d4rl")
"""Formats that ``data validate`` opens as they are."""
OUTCOMES = ("code", "other", "refused", "said", "missed", "crashed")


@dataclass
class Told:
    """All that the tool said of a file.

    Args:
        findings: (code, severity, count, message without its numbers) of each.
        said: what the import logged, without its numbers.
        refused: the message of a refusal.
        crashed: an error that is no message to a user.
    """

    findings: set[tuple[str, str, int, str]] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    refused: str = ""
    crashed: str = ""


class _Lines(logging.Handler):
    def __init__(self, lines: set[str]) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.add(plain(record.getMessage()))


def plain(text: str) -> str:
    """A message without numbers, but for zeros, and places: none and some are two things."""
    return re.sub(r"-?\d[\d.,e+-]*", lambda found: "0" if found[0] == "0" else "#", re.sub(r"/\S+", "PATH", text))


@contextmanager
def _listening(lines: set[str]) -> Iterator[None]:
    logger, handler = logging.getLogger("awac_tr"), _Lines(lines)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def tell(data: Data, name: str, keep: Path | None = None) -> Told:
    """Write data in a format, import it where need be, and validate; the folder written may be kept."""
    told = Told()
    folder = Path(mkdtemp(prefix="blind-"))
    try:
        path = write(data, name, folder)
        if keep is not None:
            shutil.copytree(path, keep)
        with _listening(told.said):
            told.findings |= _findings(path, data, name)
    except AwacError as error:
        told.refused = plain(str(error))
    except Exception as error:  # noqa: BLE001  (a crash is an outcome)
        told.crashed = f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return told


def _findings(path: Path, data: Data, name: str) -> set[tuple[str, str, int, str]]:
    asked = data.said.get("asked")
    if name in ("d4rl", "lerobot", "hand_dapg"):
        asked = asked or (data.env_id if data.named or name == "hand_dapg" else None)
    if name not in DIRECT:
        out = path.parent / "imported.hdf5"
        import_dataset(path, out, settings=ImportSettings(env_id=asked or ""))
        path, asked = out, None
    found = validate(path, env=asked)
    return {(one.code, one.severity, one.count, plain(one.message)) for one in found}


def outcome(told: Told, clean: Told, code: str) -> str:
    """One of :data:`OUTCOMES`, against what is said of the same data without the defect.

    - ``code``: a finding by the defect's own code that the clean data have not, or not so often;
    - ``other``: such a warning or error by another code;
    - ``refused``: the import, or the opening, refuses the file;
    - ``said``: the import says something it does not say of the clean data.
    """
    new = told.findings - clean.findings
    known = {(one[0], one[2]) for one in clean.findings}
    if any(one[0] == code for one in new):
        return "code"
    if told.crashed:
        return "crashed"
    if told.refused and told.refused != clean.refused:
        return "refused"
    if any(one[1] != "note" and (one[0], one[2]) not in known for one in new):
        return "other"
    return "said" if told.said - clean.said else "missed"
