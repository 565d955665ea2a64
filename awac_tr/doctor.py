"""Examine the machine and the installation: what is there, what is missing, and what to do about it.

Every check really does the thing: it imports the package, steps the environment, draws a picture, writes a file.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final, Literal

__all__ = ["Check", "Level", "cpu_flags", "examine", "usable", "usable_cores"]

Level = Literal["ok", "note", "warning", "broken"]

ESSENTIAL: Final = {
    "numpy": "numpy", "torch": "torch", "tensordict": "tensordict", "torchrl": "torchrl", "gymnasium": "gymnasium",
    "mujoco": "mujoco", "gymnasium-robotics": "gymnasium_robotics", "h5py": "h5py",
}  # fmt: skip
"""Distribution -> the module that must import."""

DRAWING: Final = ("mujoco", "gymnasium-robotics")
"""Those that do not import when MUJOCO_GL names a backend that is not there."""

OPTIONAL: Final = {
    "wandb": "logging to Weights & Biases is off",
    "tensorboard": "logging to TensorBoard is off",
    "minari": "Minari datasets cannot be read or written",
}
"""Distribution -> what is missing without it."""

ENOUGH_DISK: Final = 2e9
LEAST_DISK: Final = 1e8
"""Bytes free, below which there is a warning, and below which nothing can be trained."""

_LONGEST: Final = 160
_FEATURES: Final = {
    "AVX2": "avx2", "AVX-512": "avx512f", "AVX-512 BF16": "avx512_bf16", "AMX": "amx_tile", "AMX BF16": "amx_bf16",
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """What one look found.

    Attributes:
        name: what was looked at.
        level: ``ok``; ``note``: worth knowing; ``warning``: something will not work; ``broken``: nothing will.
        finding: one line.
        remedy: what to do about it; empty where nothing is wrong.
    """

    name: str
    level: Level
    finding: str
    remedy: str = ""


def usable(checks: Sequence[Check]) -> bool:
    """Nothing essential is broken."""
    return all(check.level != "broken" for check in checks)


def examine(on_check: Callable[[Check], None] | None = None) -> list[Check]:
    """Look at everything; takes some seconds, changes nothing.

    Args:
        on_check: called with each finding as it is made.

    Returns:
        All findings, in the order of the report. A check that fails in a way nobody foresaw is itself a finding.
    """
    found: list[Check] = []
    looks = (_python, _packages, _requirements, _extension, _simulator, _drawing, _films, _gpu, _processor, _places)
    for look in looks:
        try:
            for check in look():
                found.append(check)
                if on_check is not None:
                    on_check(check)
        except Exception as error:  # noqa: BLE001  (a report must not end in the middle)
            found.append(Check(look.__name__.strip("_"), "warning", f"could not be examined: {_short(error)}"))
    return found


def _python() -> Iterator[Check]:
    import awac_tr

    yield Check("awac-tr", "ok", awac_tr.__version__)
    yield Check("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)} ({sys.executable})")


def _packages() -> Iterator[Check]:
    for name, module in ESSENTIAL.items():
        try:
            _import_quietly(module)
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "note", "imports, but was not installed by pip: version unknown")
        except ModuleNotFoundError as error:
            yield Check(name, "broken", _short(error), f"pip install {name}")
        except Exception as error:  # noqa: BLE001  (broken packages fail in any way)
            remedy = f"pip install --force-reinstall {name}"
            if name in DRAWING and os.environ.get("MUJOCO_GL"):
                remedy = f"unset MUJOCO_GL (now {os.environ['MUJOCO_GL']!r}: see GL below)"
            yield Check(name, "broken", f"does not import: {_short(error)}", remedy)
    for name, loss in OPTIONAL.items():
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "note", f"not installed: {loss}", f"pip install {name}")


def _import_quietly(module: str) -> None:
    """Import without the announcements that some packages make; whether they work is the question here."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        importlib.import_module(module)


def _requirements() -> Iterator[Check]:
    """Whether what is installed is what was asked for; pip does not look again after a later install."""
    from packaging.requirements import Requirement

    wrong: list[str] = []
    fixes: list[str] = []
    for owner in ("awac-tr", "torchrl"):
        for line in requires(owner) or []:
            wanted = Requirement(line)
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
                continue
            try:
                found = version(wanted.name)
            except PackageNotFoundError:
                found = "none"
            if found == "none" or not wanted.specifier.contains(found, prereleases=True):
                wrong.append(f"{owner} needs {wanted.name}{wanted.specifier}, found {found}")
                fixes.append(f'"{wanted.name}{wanted.specifier}"')
    if wrong:
        yield Check("requirements", "warning", "; ".join(wrong), "pip install " + " ".join(fixes))
    else:
        yield Check("requirements", "ok", "the versions of all packages are within what awac-tr and torchrl ask for")


def _extension() -> Iterator[Check]:
    name = "torchrl C++ extension"
    try:
        _import_quietly("torchrl._torchrl")
        yield Check(name, "ok", "loads")
    except ImportError as error:
        foreign = "undefined symbol" in str(error)
        reason = (
            f"was built for another torch than {version('torch')}" if foreign else f"does not load: {_short(error)}"
        )
        finding = f"{reason}; only prioritised replay is missing, which awac-tr does not use"
        remedy = "if you want it, install the torch that the release notes of this torchrl name; otherwise nothing"
        yield Check(name, "note", finding, remedy)


def _simulator() -> Iterator[Check]:
    from awac_tr.envs.make import make_env

    try:
        env = make_env("door-binary-v0")
        env.reset(seed=0)
        env.step(env.action_space.sample() * 0)
        env.close()
        yield Check("simulator", "ok", "door-binary-v0 resets and steps")
    except Exception as error:  # noqa: BLE001  (broken packages fail in any way)
        finding = f"door-binary-v0 does not run: {_short(error)}"
        yield Check("simulator", "broken", finding, "mend the packages named above")


def _drawing() -> Iterator[Check]:
    from awac_tr.envs.gl import choose_backend, install_hint

    choice = choose_backend()
    if choice.backend:
        speed = " (the processor draws: films take a while)" if choice.software else ""
        yield Check("GL", "ok", f"{choice.backend.upper()} draws with {choice.renderer}{speed}")
    else:
        yield Check("GL", "warning", "no films: " + "; ".join(choice.explain().splitlines()), install_hint(choice))


def _films() -> Iterator[Check]:
    from awac_tr.video.mp4 import Film, VideoError

    try:
        import numpy as np

        with tempfile.TemporaryDirectory() as folder, Film(Path(folder) / "test.mp4", fps=10, size=(64, 64)) as film:
            film.add(np.zeros((64, 64, 3), np.uint8))
        from imageio_ffmpeg import get_ffmpeg_version

        yield Check("video encoder", "ok", f"ffmpeg {get_ffmpeg_version()} writes H.264")
    except (VideoError, ImportError) as error:
        yield Check("video encoder", "warning", f"no films: {_short(error)}", "pip install imageio-ffmpeg")


def _gpu() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            yield Check("GPU", "ok", f"cuda:{index} {card.name}, {card.total_memory / 2**30:.0f} GiB")
    elif Path("/dev/nvidia0").exists():
        build = "install a CUDA build of torch: https://pytorch.org/get-started/locally"
        fix = "update the NVIDIA driver" if torch.version.cuda else build
        yield Check("GPU", "warning", f"an NVIDIA card is there, but torch {torch.__version__} cannot use it", fix)
    else:
        yield Check("GPU", "ok", "none; training runs on the processor")


def _processor() -> Iterator[Check]:
    import torch

    flags = cpu_flags()
    found = ", ".join(f"{name} {'yes' if flag in flags else 'no'}" for name, flag in _FEATURES.items())
    yield Check("CPU features", "ok", found)
    if not flags & {"avx512_bf16", "amx_bf16"}:
        finding = "not in this processor: precision: bf16 would be many times slower than fp32 here"
        yield Check("bfloat16", "note", finding, "write precision=auto, which takes fp32 here")
    cores, threads = usable_cores(), torch.get_num_threads()
    text = f"{cores} usable of {os.cpu_count()}; intra-op threads of torch: {threads}"
    if threads > cores:
        yield Check("cores", "warning", text, f"set OMP_NUM_THREADS={cores}, or the recipe key threads: {cores}")
    else:
        yield Check("cores", "ok", text)


def cpu_flags() -> set[str]:
    """Feature flags of the processor as Linux names them; empty where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())


def usable_cores() -> int:
    """Cores this process may use: the affinity mask, and the quota of the container it is in."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


def _places() -> Iterator[Check]:
    from awac_tr.data.storage.paths import dataset_folder

    yield _place("datasets", dataset_folder(), "set AWAC_TR_DATA to a folder you may write to")
    yield _place("runs", Path("runs"), "work in a folder you may write to, or give --run DIR")


def _place(name: str, folder: Path, remedy: str) -> Check:
    """Whether files can be made in a folder, or the folder itself where it is not there yet; and how many."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".awac-tr-doctor-"):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name, "broken", f"{folder.absolute()}: cannot write ({error.strerror})", remedy)
    later = "" if there == folder.absolute() else ", made when needed"
    text = f"{folder.absolute()}: writable, {free / 1e9:.1f} GB free{later}"
    level: Level = "ok" if free >= ENOUGH_DISK else "warning" if free >= LEAST_DISK else "broken"
    return Check(name, level, text, "" if level == "ok" else "make room on the disk, or " + remedy)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
