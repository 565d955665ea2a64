"""The folder of a run: what was asked for, by what it was run, and where everything lies."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from awac_tr.errors import AwacError
from awac_tr.utils.atomic import cannot_write, make_folder, write_text
from awac_tr.utils.locks import Lock, folder_lock, holder_of

if TYPE_CHECKING:
    from typing import Self

    from awac_tr.recipes.schema import Recipe

__all__ = ["NoticeKeeper", "RunFolder", "scratch_folder", "surroundings"]

_log = logging.getLogger(__name__)

_RECORD: Final = {"id": str, "notices": list, "resumed": list}
_PACKAGES: Final = (
    "awac-tr",
    "torch",
    "torchrl",
    "tensordict",
    "gymnasium",
    "gymnasium-robotics",
    "mujoco",
    "numpy",
    "h5py",
)


class RunFolder:
    """Paths of a run, and its record.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    recipe = property(lambda self: self.path / "recipe.yaml")
    record = property(lambda self: self.path / "record.json")
    summary = property(lambda self: self.path / "summary.json")
    curve = property(lambda self: self.path / "curve.png")
    checkpoints = property(lambda self: self.path / "checkpoints")
    last = property(lambda self: self.path / "checkpoints" / "last.pt")
    previous = property(lambda self: self.path / "checkpoints" / "previous.pt")
    best = property(lambda self: self.path / "checkpoints" / "best.pt")
    online = property(lambda self: self.path / "checkpoints" / "online")

    @classmethod
    def create(cls, recipe: Recipe, where: str | Path | None = None) -> RunFolder:
        """Make the folder, named ``runs/<recipe>-<time>-<seed>`` where no other is given.

        Raises:
            AwacError: it exists, or cannot be made.
        """
        path = Path(where) if where is not None else _free(Path("runs"), recipe)
        cls.require_new(path)
        try:
            make_folder(path / "checkpoints")
        except OSError as error:
            raise cannot_write(path, error, AwacError) from error
        return cls(path)

    @staticmethod
    def require_new(path: Path) -> None:
        """Refuse a folder that another process is at, or that is not empty.

        Raises:
            AwacError: it is so.
        """
        holder = holder_of(folder_lock(path))
        if holder is not None:
            raise AwacError(
                f"{path} is being written by another process ({holder})", "name another folder with --run, or wait."
            )
        RunFolder.require_empty(path)

    @staticmethod
    def require_empty(path: Path) -> None:
        """Refuse a folder with anything in it but what a run leaves that is killed before its recipe is written.

        Raises:
            AwacError: there is something, or it is no folder.
        """
        if not path.exists() or (path.is_dir() and all(_is_remnant(entry) for entry in path.iterdir())):
            return
        go_on = f"go on with it by awac-tr train --resume {path}, or " if (path / "recipe.yaml").is_file() else ""
        raise AwacError(f"the run folder {path} exists, and is not empty", f"{go_on}name another with --run.")

    def require_run(self) -> None:
        """Refuse what is no folder of a run that can go on.

        Raises:
            AwacError: there is nothing to go on with.
        """
        missing = [name for name in ("recipe.yaml", "checkpoints") if not _holds(self.path / name)]
        if not missing:
            return
        stopped = self.path.is_dir() and all(_is_remnant(entry) for entry in self.path.iterdir())
        hint = f"Nothing is lost: begin there with awac-tr train RECIPE --run {self.path}." if stopped else ""
        raise AwacError(f"{self.path} is no run folder: it has no {missing[0]}", hint)

    def require_unfinished(self) -> None:
        """Refuse to begin anew where that would write over a finished run.

        Raises:
            AwacError: the run had come to its end.
        """
        with suppress(OSError, ValueError, RecursionError):
            summary = json.loads(self.summary.read_text(encoding="utf-8"))
            if isinstance(summary, dict) and summary.get("finished") is True:
                raise AwacError(f"{self.path} is a finished run whose checkpoints are gone", "train a new one.")

    def lock(self) -> Lock:
        """Held while the run goes on, so that no second process goes on with it as well."""
        return folder_lock(self.path)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace record.json."""
        write_text(self.record, json.dumps(record, indent=2, default=str) + "\n")

    def read_record(self) -> dict[str, Any] | None:
        """What record.json holds; None: it is missing or damaged, which is said, and no reason not to go on."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            if isinstance(record, dict) and all(isinstance(record.get(key), kind) for key, kind in _RECORD.items()):
                return record
            reason = "it holds no record"
        except (OSError, ValueError, RecursionError) as error:
            reason = str(error)
        _log.warning("%s cannot be read (%s): a new one is begun.", self.record, reason)
        return None


def _is_remnant(path: Path) -> bool:
    """Whether a run that was killed before its recipe was written leaves such a thing."""
    if path.name == "checkpoints":
        return path.is_dir() and not any(path.iterdir())
    return path.name in ("lock", "recipe.yaml.part") or (path.name == "recipe.yaml" and not _holds(path))


def _holds(path: Path) -> bool:
    """A folder, or a file with something in it."""
    return path.is_dir() or (path.is_file() and path.stat().st_size > 0)


def scratch_folder(run: str | Path | None, wanted: str | Path | None) -> Path:
    """Where a run may have its mapped files: as wanted, else the nearest folder that exists above the run's.

    Args:
        run: the run folder, which need not exist; None: one in ``runs``.
        wanted: folder that the user named.

    Raises:
        AwacError: that is no folder.
    """
    if wanted is not None:
        if not Path(wanted).is_dir():
            raise AwacError(f"there is no folder {wanted} for --scratch", "make it, or name another.")
        return Path(wanted)
    path = Path("runs" if run is None else run).absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _free(base: Path, recipe: Recipe) -> Path:
    """A default name; a second run within the same second gets a number."""
    name = f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}-{recipe.seed}"
    path, number = base / name, 2
    while path.exists():
        path, number = base / f"{name}-{number}", number + 1
    return path


def surroundings(command: Sequence[str] | None = None) -> dict[str, Any]:
    """What a run was made by: command, versions, commit, machine; for record.json."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": list(sys.argv if command is None else command),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "commit": _commit(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that runs, with ``+changes`` where files differ; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


class NoticeKeeper(logging.Handler):
    """Collects what the library says (INFO and above) while it is entered, for the run's record.

    Attributes:
        notices: the messages, in order, without repetitions.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.notices: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        message = record.getMessage()
        if message not in self.notices:
            self.notices.append(message)

    def __enter__(self) -> Self:
        logger = logging.getLogger("awac_tr")
        self._level = logger.level
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("awac_tr")
        logger.removeHandler(self)
        logger.setLevel(self._level)
