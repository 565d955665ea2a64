"""The folder of a run: what was asked for, by what it was run, and where everything lies."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from awac_tr.errors import AwacError
from awac_tr.locks import Lock, folder_lock, holder_of

if TYPE_CHECKING:
    from typing import Self

    from awac_tr.recipes.schema import Recipe

__all__ = ["NoticeKeeper", "RunFolder", "scratch_folder", "surroundings", "write_atomically"]

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
            (path / "checkpoints").mkdir(parents=True)
        except OSError as error:
            raise AwacError(f"cannot make the run folder {path}: {error.strerror}") from error
        return cls(path)

    @staticmethod
    def require_new(path: Path) -> None:
        """Refuse a folder that exists.

        Raises:
            AwacError: it exists.
        """
        if not path.exists():
            return
        holder = holder_of(folder_lock(path))
        if holder is not None:
            raise AwacError(
                f"{path} is being written by another process ({holder})", "name another folder with --run, or wait."
            )
        raise AwacError(
            f"the run folder {path} exists",
            f"go on with it by awac-tr train --resume {path}, or name another with --run.",
        )

    def lock(self) -> Lock:
        """Held while the run goes on, so that no second process goes on with it as well."""
        return folder_lock(self.path)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace record.json."""
        write_atomically(self.record, json.dumps(record, indent=2, default=str) + "\n")

    def read_record(self) -> dict[str, Any]:
        """What record.json holds.

        Raises:
            AwacError: it is missing or damaged.
        """
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise AwacError(f"{self.path} is no run folder: record.json cannot be read ({error})") from error
        if not isinstance(record, dict):
            raise AwacError(f"{self.path} is no run folder: record.json holds no record")
        return record


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


def write_atomically(path: Path, text: str) -> None:
    """Write a text file under its name only when it is complete."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


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


def new_id() -> str:
    """A name for a run that no other has: eight hexadecimal digits."""
    return uuid.uuid4().hex[:8]


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
