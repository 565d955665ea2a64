"""Rows of metrics: metrics.jsonl always, and copies of them for CSV, TensorBoard and Weights & Biases."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from awac_tr.errors import AwacError
from awac_tr.utils.atomic import write_text

if TYPE_CHECKING:
    from torchrl.record.loggers.common import Logger

    from awac_tr.recipes.schema import LogSection

__all__ = ["COUNTERS", "Metrics", "read_rows", "rows_before"]

_log = logging.getLogger(__name__)

COUNTERS: Final = ("event", "phase", "update", "env_step", "wall")
"""What every row has: what happened (train, round, eval), in which phase, after so many updates and steps, when [s]."""

_FILE: Final = "metrics.jsonl"
_MAX_COUNT: Final = 1 << 53
_LARGEST: Final = 1e100
"""Nothing that is measured comes near it, and an axis can still be drawn."""
_COPIES: Final = ("csv", "tensorboard")
_WANDB_SECONDS: Final = 20
"""How long a service that does not answer may hold up a run that does not need it."""


def read_rows(run: Path) -> list[dict[str, Any]]:
    """All rows of a run; a last row that was cut off while being written is left out.

    Raises:
        AwacError: there is no such file, or a row within it is damaged.
    """
    path = run / _FILE
    if not path.is_file():
        raise AwacError(f"{run} is no run folder: it has no {_FILE}", "give the folder that awac-tr train made.")
    return list(_parsed(path))


def rows_before(run: Path, count: int, update: int, env_step: int) -> list[dict[str, Any]]:
    """The rows that a checkpoint counts on: the first so many; fewer where they are lost or damaged.

    Args:
        run: the run folder.
        count: rows that there were.
        update: gradient steps by then; later rows are none of them.
        env_step: environment steps by then.
    """
    rows: list[dict[str, Any]] = []
    with suppress(AwacError):  # what stands before the damage is kept
        first = islice(_parsed(run / _FILE), count)
        rows.extend(row for row in first if row["update"] <= update and row["env_step"] <= env_step)
    return rows


def _parsed(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise AwacError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            return
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AwacError(f"{path}, line {number}: not a row of metrics ({error})") from error
        if not _is_row(row):
            needs = f"It needs {', '.join(COUNTERS)}, and an evaluation its return."
            raise AwacError(f"{path}, line {number}: not a row of metrics", needs)
        yield row


def _is_row(row: object) -> bool:
    """Has it the counters, an evaluation its return, and nothing beside them but numbers and null."""
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in COUNTERS[:2]):
        return False
    if not all(type(row.get(name)) is int and 0 <= row[name] < _MAX_COUNT for name in ("update", "env_step")):
        return False
    if row["event"] == "eval" and "return" not in row:
        return False
    others = [value for name, value in row.items() if name not in COUNTERS[:2] and value is not None]
    return all(isinstance(value, int | float) and abs(value) < _LARGEST for value in others)


class Metrics:
    """Writes a run's rows.

    Args:
        run: the run folder.
        section: which copies to keep beside metrics.jsonl.
        run_id: names the run at Weights & Biases.
        config: the resolved recipe, for Weights & Biases.
        kept: rows of before (on resuming); whatever else is in the file is dropped, so that no row appears twice.

    Attributes:
        rows: rows in the file.
    """

    def __init__(
        self,
        run: Path,
        section: LogSection,
        *,
        run_id: str,
        config: Mapping[str, Any],
        kept: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._file = _fresh(run / _FILE, kept)
        self._loggers = _copies(run, section)
        for row in kept:
            self._copy(row)
        self.rows = len(kept)
        if section.wandb != "off":
            self._loggers.append(_wandb(run, section, run_id, config))

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row, and flush it; numbers that JSON cannot hold become null."""
        plain = {key: _plain(value) for key, value in row.items()}
        self._file.write(json.dumps(plain) + "\n")
        self._file.flush()
        self._copy(plain)
        self.rows += 1

    def sync(self) -> None:
        """Wait until the rows are on the disk: a checkpoint counts on them."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close everything."""
        self._file.close()
        for logger in self._loggers:
            _close(logger)

    def _copy(self, row: Mapping[str, Any]) -> None:
        values = {
            key: float(value) for key, value in row.items() if key not in COUNTERS and isinstance(value, int | float)
        }
        values["env_step"] = float(row["env_step"])
        prefix = "" if row["event"] == "train" else f"{row['event']}/" if row["phase"] != "clone" else "clone/"
        for logger in self._loggers:
            logger.log_metrics({prefix + name: value for name, value in values.items()}, step=row["update"])


def _fresh(path: Path, kept: Sequence[Mapping[str, Any]]) -> IO[str]:
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
    return path.open("a", encoding="utf-8")


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _copies(run: Path, section: LogSection) -> list[Logger]:
    """Loggers of the kinds that can be made again from metrics.jsonl, emptied."""
    from torchrl.record.loggers.csv import CSVLogger
    from torchrl.record.loggers.tensorboard import TensorboardLogger

    for name in _COPIES:
        if (run / name).exists():
            shutil.rmtree(run / name)
    loggers: list[Logger] = []
    if section.csv:
        loggers.append(CSVLogger("csv", log_dir=str(run)))
    if section.tensorboard:
        loggers.append(TensorboardLogger("tensorboard", log_dir=str(run)))
    return loggers


def _wandb(run: Path, section: LogSection, run_id: str, config: Mapping[str, Any]) -> Logger:
    try:
        import wandb
        from torchrl.record.loggers.wandb import WandbLogger
    except ImportError as error:
        raise AwacError(
            f"log.wandb: {section.wandb}, but wandb is not installed", "pip install wandb, or log.wandb=off"
        ) from error
    make = partial(
        WandbLogger,
        run.name,
        save_dir=str(run),
        id=run_id,
        project=section.wandb_project,
        log_env_packages=False,
        config=dict(config),
        settings=wandb.Settings(
            console="off", disable_git=True, disable_code=True, silent=True, init_timeout=_WANDB_SECONDS
        ),
    )
    try:
        with _mode_as_it_was():
            return make(offline=section.wandb == "offline")
    except wandb.errors.CommError as error:
        reason = str(error).partition("\n")[0]
        _log.warning(
            "Weights & Biases cannot be reached (%s): rows go to %s; wandb sync uploads them.", reason, run / "wandb"
        )
    except wandb.Error as error:
        raise AwacError(
            f"Weights & Biases refused: {error}", "log in with wandb login, or use log.wandb=offline"
        ) from error
    wandb.teardown()  # its service process would take the second try for a second run of the same id
    with _mode_as_it_was():
        return make(offline=True)


@contextmanager
def _mode_as_it_was() -> Iterator[None]:
    """The logger switches the whole process to offline; runs after this one may want otherwise."""
    mode = os.environ.get("WANDB_MODE")
    try:
        yield
    finally:
        if mode is None:
            os.environ.pop("WANDB_MODE", None)
        else:
            os.environ["WANDB_MODE"] = mode


def _close(logger: Logger) -> None:
    experiment: Any = logger.experiment
    if hasattr(experiment, "finish"):
        experiment.finish()
    elif hasattr(experiment, "close"):
        experiment.close()
    else:
        for file in experiment.files.values():
            file.close()
